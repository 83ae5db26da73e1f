"""`python -m tests.faults table` and `python -m tests.faults chaos`: see `--help`."""

from setup.command_line import run_main
from tests.faults import cli

if __name__ == "__main__":
    run_main(cli.main, cli.__doc__)
