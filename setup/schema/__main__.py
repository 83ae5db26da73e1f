"""``python -m setup.schema upgrade|current``."""

import argparse
import sys

from serve_app.core.settings import settings
from setup.schema.migrate import SchemaError, current, upgrade


def main() -> int:
    """Exit status: 0 if the schema is the newest, 1 if it is not or cannot be told."""
    parser = argparse.ArgumentParser(prog="python -m setup.schema", description=__doc__)
    parser.add_argument("command", choices=("upgrade", "current"))
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for MySQL")
    arguments = parser.parse_args()
    try:
        if arguments.command == "upgrade":
            print(f"schema: revision {upgrade(settings(), arguments.timeout)}")
            return 0
        there, newest = current(settings(), arguments.timeout)
    except SchemaError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"schema: revision {there or 'none'}, newest is {newest}")
    return 0 if there == newest else 1


if __name__ == "__main__":
    sys.exit(main())
