"""``python -m setup.schema upgrade|current``."""

import sys
from typing import Annotated, Literal

import typer

from serve_app.core.settings import settings
from setup.command_line import run_main
from setup.schema.migrate import SchemaError, current, upgrade


def main(
    command: Literal["upgrade", "current"],
    timeout: Annotated[float, typer.Option(help="Seconds to wait for MySQL.")] = 60.0,
) -> int:
    """Exit status: 0 if the schema is the newest, 1 if it is not or cannot be told."""
    try:
        if command == "upgrade":
            print(f"schema: revision {upgrade(settings(), timeout)}")
            return 0
        there, newest = current(settings(), timeout)
    except SchemaError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"schema: revision {there or 'none'}, newest is {newest}")
    return 0 if there == newest else 1


if __name__ == "__main__":
    run_main(main, __doc__)
