"""``python -m tests.results``: write the tables of results into the documents."""

import subprocess
import sys
from pathlib import Path

from setup.local.folder import CHECKOUT
from tests.results.recording import FOLDER
from tests.results.render import load_all, rendered, wanted


def documents() -> list[Path]:
    """All Markdown files of the repository."""
    command = ("git", "-C", str(CHECKOUT), "ls-files", "--", "*.md")
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    paths = [CHECKOUT / name for name in listed if name]
    return [path for path in paths if path.exists()]


def main() -> int:
    """Write documents that differ and print their names; returns the exit status."""
    try:
        results = load_all(FOLDER)
        texts = {path: path.read_text() for path in documents()}
        shown = wanted(texts.values())
        for path, before in texts.items():
            if (after := rendered(before, results, shown)) != before:
                path.write_text(after)
                print(path.relative_to(CHECKOUT))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
