"""Reads llvm-cov's export from stdin and prints the line coverage of a folder: FOLDER PERCENT.

A source that no fuzz target links has no figures; such files are named, so that the total cannot
be mistaken for theirs. Below PERCENT the exit status is 1.
"""
import json
import pathlib
import sys


def main():
    folder, limit = pathlib.Path(sys.argv[1]), float(sys.argv[2])
    reached = {}
    for entry in json.load(sys.stdin)["data"][0]["files"]:
        path = pathlib.Path(entry["filename"])
        if folder.resolve() in path.parents:
            reached[path] = entry["summary"]["lines"]
    for path, lines in sorted(reached.items()):
        print(f"{lines['percent']:6.1f} %  {lines['covered']:4} of {lines['count']:4}  {path.name}")
    sources = {path.resolve() for path in folder.rglob("*.cc") if not path.stem.endswith("_test")}
    unlinked = sorted(path.name for path in sources - set(reached))
    if unlinked:
        print("in no fuzz target:", ", ".join(unlinked))
    count = sum(lines["count"] for lines in reached.values())
    percent = 100 * sum(lines["covered"] for lines in reached.values()) / max(count, 1)
    print(f"line coverage of {folder}: {percent:.1f} % (at least {limit:g} % is wanted)")
    return 0 if percent >= limit else 1


if __name__ == "__main__":
    sys.exit(main())
