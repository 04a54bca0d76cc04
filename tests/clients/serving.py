"""`forerun serve` for the time of a test class, and the official client talking to it."""
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import forerun  # noqa: E402
import openai  # noqa: E402
from server import SECONDS, Server  # noqa: E402


def through_proxy(url):
    """(the process, the URL) of the proxy that FORERUN_TEST_PROXY starts, a command which is given
    the server's URL and prints its own; (None, `url`) without."""
    command = os.environ.get("FORERUN_TEST_PROXY")
    if not command:
        return None, url
    process = subprocess.Popen(
        [*shlex.split(command), url], stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


class TestCase(unittest.TestCase):
    """`model_file()` is what is served, with `options`; `self.client` is a client of it."""

    options = ()

    @classmethod
    def model_file(cls):
        raise NotImplementedError

    @classmethod
    def model(cls):
        """The model's name on the command line."""
        path = cls.folder / "model.gguf"
        path.write_bytes(cls.model_file())
        return path

    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        cls.folder = pathlib.Path(holder.name)
        model = cls.model()
        cls.server = Server(
            forerun.COMMAND, model, "--served-model-name", "served", *cls.options)
        cls.addClassCleanup(cls.stop)
        proxy, cls.url = through_proxy(cls.server.url)
        if proxy:
            cls.addClassCleanup(proxy.stdout.close)
            cls.addClassCleanup(proxy.wait)
            cls.addClassCleanup(proxy.terminate)
        cls.client = cls.new_client()

    @classmethod
    def stop(cls):
        status = cls.server.stop()
        assert status == 0, f"the server ended with {status}: {''.join(cls.server.said)}"

    @classmethod
    def new_client(cls, **options):
        client = openai.OpenAI(base_url=f"{cls.url}/v1", **{"api_key": "none", **options},
                               max_retries=0, timeout=SECONDS)
        cls.addClassCleanup(client.close)
        return client


class SmolLm2(TestCase):
    """A test that needs a model which knows words."""

    @classmethod
    def model(cls):
        home = os.environ.get("FORERUN_HOME") or pathlib.Path.home() / ".cache" / "forerun"
        if not list(pathlib.Path(home, "models", "smollm2-135m").glob("*.gguf")):
            raise unittest.SkipTest("smollm2-135m is missing; make test fetches it")
        return "smollm2-135m"
