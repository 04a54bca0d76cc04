#!/usr/bin/env python3
"""Trains one small tokenizer of each kind and writes down what Python `tokenizers` makes of texts.

    $(scripts/make_oracle_env) tests/golden/make_small_tokenizers.py

writes tests/golden/tokenizers/NAME.json, a `tokenizer.json` trained on the texts of
tokenizer_texts.py, and NAME.tokens.json beside it, which src/text/tokenizer_golden_test.cc reads:
for each text

    ids          with the tokens its post-processor adds, special tokens parsed
    ids_as_text  without them, special tokens taken as text; left out where equal to `ids`
    decoded      of `ids` without special tokens; left out where equal to the text
    decoded_all  of `ids` with them; left out where equal to `decoded`

The kinds: byte-level BPE cut by the pattern of GPT-4 and normalised to NFC (Qwen, Llama 3),
SentencePiece BPE with byte fallback as Gemma writes it and as Llama 2 does (a space put before the
text and taken off again), and WordPiece (BERT). Each has added tokens with the options that change
what they match.
"""

import json
from pathlib import Path

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)
from tokenizer_texts import TEXTS

FOLDER = Path(__file__).parent / "tokenizers"
GPT4 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
ADDED = [
    AddedToken("<|left|>", lstrip=True, normalized=False, special=True),
    AddedToken("<|right|>", rstrip=True, normalized=False, special=True),
    AddedToken("word", single_word=True, normalized=False, special=False),
    AddedToken("<tool call>", normalized=False, special=False),
    AddedToken("\u00c9TAT d\u2019\u00e2me", normalized=True, special=False),
]
ADDED_TEXTS = [
    "a  <|left|>  b", "a  <|right|>  b", "<|left|><|right|>", "word words sword word,word", "a <tool call>b",
    "\u00c9TAT d\u2019\u00e2me", "E\u0301TAT d\u2019a\u0302me", "\u00e9tat d\u2019\u00e2me \u00c9TAT d\u2019\u00e2mes",
]


def frame(tokenizer, begin, end=None):
    """The post-processor that puts tokens around a text."""
    names = [begin] + ([end] if end else [])
    return processors.TemplateProcessing(
        single=" ".join([begin, "$A"] + names[1:]),
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in names])


def byte_level():
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(GPT4), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(
        vocab_size=600, show_progress=False, special_tokens=["<|begin|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = frame(tokenizer, "<|begin|>")
    return tokenizer


def sentence_piece(normalizer, pre_tokenizer, decoder):
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "\u2581")
    short = [text for text in TEXTS if len(text) < 80]
    trained.train_from_iterator(short, trainers.BpeTrainer(
        vocab_size=420, limit_alphabet=90, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    vocabulary = {token: id for id, token in enumerate(
        ["<pad>", "<eos>", "<bos>", "<unk>", *BYTES, *model["vocab"]])}
    tokenizer = Tokenizer(models.BPE(
        vocab=vocabulary, merges=[tuple(merge) for merge in model["merges"]], unk_token="<unk>",
        fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    tokenizer.add_special_tokens(["<pad>", "<eos>", "<bos>", "<unk>"])
    tokenizer.post_processor = frame(tokenizer, "<bos>")
    return tokenizer


def gemma():
    return sentence_piece(
        normalizers.Replace(" ", "\u2581"), pre_tokenizers.Split(" ", "merged_with_previous"),
        decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(),
                           decoders.Fuse()]))


def llama2():
    return sentence_piece(
        normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]),
        None,
        decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(),
                           decoders.Fuse(), decoders.Strip(" ", 1, 0)]))


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(
        vocab_size=700, limit_alphabet=200, show_progress=False,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    tokenizer.post_processor = frame(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def golden_case(tokenizer, text):
    tokenizer.encode_special_tokens = False
    ids = tokenizer.encode(text).ids
    tokenizer.encode_special_tokens = True
    as_text = tokenizer.encode(text, add_special_tokens=False).ids
    case = {"text": text, "ids": ids}
    if as_text != ids:
        case["ids_as_text"] = as_text
    decoded = tokenizer.decode(ids, skip_special_tokens=True)
    decoded_all = tokenizer.decode(ids, skip_special_tokens=False)
    if decoded != text:
        case["decoded"] = decoded
    if decoded_all != decoded:
        case["decoded_all"] = decoded_all
    return case


def write(name, tokenizer):
    tokenizer.add_tokens([token for token in ADDED if not token.special])
    tokenizer.add_special_tokens([token for token in ADDED if token.special])
    path = FOLDER / f"{name}.json"
    tokenizer.save(str(path), pretty=False)
    assert path.stat().st_size < 30_000, f"{path} has {path.stat().st_size} bytes"
    texts = [text for text in TEXTS if len(text) <= 200] + ADDED_TEXTS
    rows = [json.dumps(golden_case(tokenizer, text), separators=(",", ":")) for text in texts]
    (FOLDER / f"{name}.tokens.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, make in [("byte_level", byte_level), ("gemma", gemma), ("llama2", llama2),
                       ("word_piece", word_piece)]:
        write(name, make())


if __name__ == "__main__":
    main()
