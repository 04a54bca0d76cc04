"""The server that `scripts/compat` shows to clients: SmolLM2 with a template that knows tools, and a
tiny encoder for vectors."""
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
import tiny_encoder  # noqa: E402
from server import Server  # noqa: E402
from tool_templates import HERMES, for_smollm2  # noqa: E402

FORERUN = ROOT / "build/release/apps/forerun/forerun"
MODEL, ENCODER = "smollm2-135m", "encoder"
NAME = "served"


def tokenizer():
    """A Hugging Face directory of SmolLM2, which clients read its tokenizer from."""
    home = os.environ.get("FORERUN_HOME") or Path.home() / ".cache/forerun"
    folder = Path(home) / "models/smollm2-135m-hf"
    if not (folder / "tokenizer.json").exists():
        sys.exit(f"compat: {folder} is missing; make it with: "
                 "$(scripts/make_oracle_env) scripts/make_hf_model")
    return folder


class ServedModel:
    """with ServedModel() as url"""

    def __init__(self, *options):
        self.options = options

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        (folder / "template.jinja").write_text(for_smollm2(HERMES))
        tiny_encoder.write(folder / ENCODER)
        self.server = Server(
            FORERUN, MODEL, "--served-model-name", NAME, "--chat-template",
            folder / "template.jinja", "--embedding-model", folder / ENCODER, *self.options)
        return self.server.url

    def __exit__(self, *_):
        try:
            status = self.server.stop()
        finally:
            self.folder.cleanup()
        if status != 0:
            raise RuntimeError(f"the server ended with {status}: {''.join(self.server.said[-20:])}")
