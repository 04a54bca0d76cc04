#!/usr/bin/env bash
# Prints the perplexity llama.cpp's llama-perplexity gives: the number `forerun bench perplexity`
# has to meet.
#
#   bench/peers/llama_cpp_perplexity.sh MODEL.gguf TEXT [WINDOW=512] [more llama-perplexity flags]
#
# What it scores, from the peer's tools/perplexity/perplexity.cpp (no --ppl-stride):
#   - The whole file is tokenized once, as one string. Text that looks like a special token is
#     plain text (parse_special is false), and one newline at the very end of the file is dropped.
#     The model's own settings decide on a leading BOS (tokenizer.ggml.add_bos_token; where the key
#     is absent, the default of its tokenizer kind). SmolLM2 says false: no BOS anywhere.
#   - The T tokens are cut into floor(T / W) windows of W tokens that do not overlap; what is left
#     over at the end is not used. Each window starts from an empty KV cache at position 0.
#   - If the model wants BOS, the *first token of every window is replaced* by BOS (not preceded by
#     it), so positions stay 0 .. W-1 and that one token of the text is unseen.
#   - With first = W / 2 (integer division), the logits at positions p = first .. W-2 are scored
#     against the token at p + 1: W - 1 - first scores a window, 255 of 512. The token at position
#     `first` itself is not scored, and nothing is scored across a window's end.
#   - perplexity = exp(sum of -ln softmax(logits[p])[token[p + 1]] / number of scores); every score
#     of the file weighs the same. Softmax is taken in float32, the sum in float64.
# The KV cache is F16; windows are run several at a time (--batch-size / W), which changes only
# rounding.
set -euo pipefail

if (($# < 2)); then
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
model=$1 text=$2 window=${3:-512}
shift $(($# < 3 ? $# : 3))

bin=$("$(dirname "$0")/build_llama_cpp" 2>/dev/null)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$bin/llama-perplexity" -m "$model" -f "$text" -c "$window" -t "$(nproc)" "$@" >"$log" 2>&1 ||
  { tail -n 20 "$log" >&2; exit 1; }
sed -n 's/.*calculating perplexity over \([0-9]* chunks\).*/\1/p' "$log" >&2
grep -o 'Final estimate: PPL = .*' "$log" | sed 's/.*PPL = //' ||
  { tail -n 20 "$log" >&2; exit 1; }
