"""Which files changed, for checks that are too slow to run on all of them every time.

Compared is with the first of these that there is and that differs from the work tree:

  1. the commit that FORERUN_BASE names;
  2. where HEAD left origin/main, or main when there is no such remote branch;
  3. HEAD~20, along first parents: what a clone of main itself has to go by.

A shallow clone or a young history has none of them, and then every file counts as changed.
"""

import os
import subprocess

LAST_COMMITS = 20


def git(root, *arguments):
    """The lines git prints; None when it fails."""
    finished = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True,
                              check=False)
    return finished.stdout.strip().splitlines() if finished.returncode == 0 else None


def bases(root):
    """[(commit, how it is called)], the most telling first."""
    named = os.environ.get("FORERUN_BASE")
    if named:
        yield named, f"FORERUN_BASE, {named}"
    for branch in ("origin/main", "main"):
        base = git(root, "merge-base", "HEAD", branch)
        if base:
            yield base[0], branch
            break
    yield f"HEAD~{LAST_COMMITS}", f"the last {LAST_COMMITS} commits"


def changed_files(root):
    """(set of paths, what they are compared with); (None, why) when every file counts."""
    for commit, called in bases(root):
        tracked = git(root, "diff", "--name-only", commit)
        if tracked is None:
            if called.startswith("FORERUN_BASE"):
                return None, f"{called} is no commit here"
            continue
        changed = set(tracked) | set(git(root, "ls-files", "--others", "--exclude-standard"))
        if changed:
            return changed, called
    return None, "there is nothing to compare with"
