"""The contract's table of refusals has every status that the code can refuse with."""

import re
from typing import Final

from serve_app.core.errors import Problem
from setup.local.folder import CHECKOUT

CONTRACT: Final = (CHECKOUT / "docs/contract.md").read_text()


def test_the_table_of_refusals_is_that_of_the_code() -> None:
    (table,) = re.findall(r"\| status \| meaning .*?\n\n", CONTRACT, re.DOTALL)
    cells = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    told = [int(one) for cell in cells for one in cell.split(",")]
    assert told == sorted(kind.status for kind in Problem.__subclasses__())
