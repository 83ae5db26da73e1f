"""Command lines by typer: a function's parameters are the options of ``python -m <module>``."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import typer

INTERRUPTED: Final = 130
"""Exit status after Ctrl+C, as shells have it."""


def run_main(main: Callable[..., int | None], about: str | None) -> None:
    """Call ``main`` with what the arguments say, and exit with the status that it returns.

    Invalid arguments exit with 2 and name the option; so does a ``typer.BadParameter`` of ``main``.
    ``about`` is the text of ``--help``: the docstring of the module.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    # As paragraphs, which the terminal's width breaks into lines; items of a list stay apart.
    help_text = re.sub(r"(?<!\n)\n(?![\n*])\s*", " ", about or "")

    @app.command(help=help_text)
    @wraps(main)
    def command(*arguments: Any, **options: Any) -> None:
        try:
            status = main(*arguments, **options)
        except KeyboardInterrupt:
            status = INTERRUPTED
        raise typer.Exit(status or 0)

    app()
