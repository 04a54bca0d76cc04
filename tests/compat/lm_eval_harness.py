"""lm-evaluation-harness: log-likelihoods equal to those of `forerun bench score`, and answers that do
not depend on how many are asked for at a time."""
import json
import os
import shutil
import subprocess

import environments
from outcome import Outcome
from served_model import FORERUN, MODEL, NAME, ROOT, ServedModel, tokenizer

PACKAGES = ("lm-eval[api]==0.4.13", "transformers==5.24.0")
WIKI, MATHS = 60, 40
FOLDER = ROOT / "build/compat/lm_eval"
CLOSE = 1e-4  # between sums of the same numbers, printed by one side and not by the other

COMMON = """task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {questions}}}}}
test_split: test
doc_to_text: "{{{{context}}}}"
"""
CHOICES = COMMON + """output_type: multiple_choice
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
target_delimiter: ""
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
ANSWERS = COMMON + """output_type: generate_until
doc_to_target: "{{{{choices[answer]}}}}"
generation_kwargs: {{until: ["\\n\\n"], max_gen_toks: 24, temperature: 0}}
metric_list: [{{metric: exact_match}}]
"""


def write_tasks():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    questions = FOLDER / "questions.jsonl"
    made = subprocess.run(
        [ROOT / "bench/make_choice_questions", "--wiki", str(WIKI), "--maths", str(MATHS)],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    questions.write_text(made)
    (FOLDER / "few.jsonl").write_text("\n".join(made.splitlines()[-12:]) + "\n")
    (FOLDER / "choices.yaml").write_text(CHOICES.format(name="choices", questions=questions))
    (FOLDER / "answers.yaml").write_text(
        ANSWERS.format(name="answers", questions=FOLDER / "few.jsonl"))
    return questions


def evaluate(python, model, task, *options, **arguments):
    """[the responses to a document's requests], in the documents' order"""
    out = FOLDER / f"{task}-{len(list(FOLDER.iterdir()))}"
    told = ",".join(f"{name}={value}" for name, value in {"model": NAME, **arguments}.items())
    done = subprocess.run(
        [python, "-m", "lm_eval", "run", "--model", model, "--model_args", told, "--tasks", task,
         "--include_path", FOLDER, "--log_samples", "--output_path", out, *options],
        check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
             "TOKENIZERS_PARALLELISM": "false"})
    if done.returncode != 0:
        print(done.stdout[-4000:])
        return []
    (file,) = out.glob("**/samples_*.jsonl")
    samples = map(json.loads, file.read_text().splitlines())
    return [[one[0] for one in sample["resps"]]
            for sample in sorted(samples, key=lambda sample: sample["doc_id"])]


def check_likelihoods(outcome, samples, scored):
    apart = [abs(float(logprob) - choice["logprob"])
             for ours, theirs in zip(scored, samples, strict=False)
             for choice, (logprob, _) in zip(ours["choices"], theirs, strict=True)]
    greedy = [(greedy == "True") == choice["greedy"]
              for ours, theirs in zip(scored, samples, strict=False)
              for choice, (_, greedy) in zip(ours["choices"], theirs, strict=True)]
    outcome.check(len(apart) == 4 * (WIKI + MATHS), f"{len(apart)} log-likelihoods came")
    outcome.check(apart and max(apart) <= CLOSE, f"log-likelihoods are {max(apart, default=0)} apart")
    outcome.check(all(greedy), f"{greedy.count(False)} differ in whether greedy decoding says them")
    outcome.note = f"at most {max(apart, default=0):.0e} apart"


def stage():
    python = environments.python("lm_eval", *PACKAGES)
    version = environments.version(python, "lm_eval")
    questions = write_tasks()
    scored = json.loads(subprocess.run(
        [FORERUN, "bench", "score", MODEL, "--requests", questions, "--json"], check=True,
        stdout=subprocess.PIPE, text=True).stdout)["requests"]
    with ServedModel() as url:
        completions = {"base_url": f"{url}/v1/completions", "max_length": 8192}
        local = {"tokenizer_backend": "huggingface", "tokenizer": tokenizer()}
        likelihoods = Outcome(
            "lm-eval", version,
            f"`local-completions`, log-likelihoods of {4 * (WIKI + MATHS)} continuations against "
            "`forerun bench score`, tokens by the client")
        check_likelihoods(likelihoods, evaluate(
            python, "local-completions", "choices", num_concurrent=8, **local, **completions), scored)
        remote = Outcome("lm-eval", version,
                         "the same, tokens by `/tokenize` (`tokenizer_backend=remote`)")
        check_likelihoods(remote, evaluate(
            python, "local-completions", "choices", num_concurrent=8, tokenizer_backend="remote",
            **completions), scored)

        answers = Outcome("lm-eval", version, "`local-completions`, a task of answers, one and eight "
                          "requests at a time")
        one, eight = (evaluate(python, "local-completions", "answers", num_concurrent=count,
                               **local, **completions) for count in (1, 8))
        answers.check(len(one) == 12 and all(one), "answers are missing")
        answers.check(one == eight, "answers depend on how many requests run at a time")

        chat = Outcome("lm-eval", version, "`local-chat-completions`, the same task")
        said = evaluate(python, "local-chat-completions", "answers", "--apply_chat_template",
                        num_concurrent=4, base_url=f"{url}/v1/chat/completions")
        chat.check(len(said) == 12 and all(said), "answers are missing")
    return [likelihoods, remote, answers, chat]
