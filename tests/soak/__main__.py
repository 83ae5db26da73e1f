"""`python -m tests.soak`: see `--help`."""

from setup.command_line import run_main
from tests.soak import cli

if __name__ == "__main__":
    run_main(cli.main, cli.__doc__)
