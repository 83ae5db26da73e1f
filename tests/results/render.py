"""Tables of results between markers in documents.

``<!-- results: headlines NAME … -->`` shows one line of each result, ``<!-- results: table NAME
TABLE -->`` one of its tables; both end at ``<!-- results end -->``.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.results.result import Result, Table

END: Final = "<!-- results end -->"
_BLOCK: Final = re.compile(rf"(<!-- results: ([^>]+?) -->)\n(.*?){END}", re.DOTALL)


def load_all(folder: Path) -> dict[str, Result]:
    """Results by name; ValueError for a file that breaks the schema or has another's name."""
    results = {path.stem: Result.load(path) for path in sorted(folder.glob("*.json"))}
    for stem, result in results.items():
        if stem != result.name:
            raise ValueError(f"{stem}.json is the result of {result.name}")
    return results


def rendered(document: str, results: Mapping[str, Result]) -> str:
    """The document with all blocks filled from the results.

    Raises:
        ValueError: names a block that cannot be filled, and the reason.
    """
    text = _BLOCK.sub(lambda found: f"{found[1]}\n{_block(found[2], results)}\n{END}", document)
    if text.count("<!-- results: ") != text.count(END):
        raise ValueError(f"a block of results does not end with {END}")
    return text


def _block(wanted: str, results: Mapping[str, Result]) -> str:
    kind, *names = wanted.split()
    if kind == "headlines" and names:
        return _headlines(names, results)
    if kind == "table" and len(names) == 2:
        name, table = names
        if name not in results:
            return f"\n*No result yet of `{name}`.*\n"
        result = results[name]
        if table not in result.tables:
            raise ValueError(f"{name}.json has no table {table}, only {', '.join(result.tables)}")
        return f"\n{result.tables[table].markdown()}\n\n{caption(result)}\n"
    raise ValueError(f"cannot read the marker «results: {wanted}»")


def _headlines(names: list[str], results: Mapping[str, Result]) -> str:
    rows = []
    for name in names:
        if result := results.get(name):
            about = f"{result.commit}, {result.started[:10]}"
            rows.append([f"`{result.command}`", result.headline, verdict(result), about])
        else:
            rows.append([f"`{name}`", "no result yet", "", ""])
    table = Table(columns=["run", "result", "bounds", "of"], rows=rows)
    return f"\n{table.markdown()}\n"


def verdict(result: Result) -> str:
    """``kept``, or what was missed."""
    if not result.bounds:
        return "none"
    missed = [bound.missed_text() for bound in result.bounds if not bound.kept]
    return f"**missed**: {'; '.join(missed)}" if missed else "kept"


def caption(result: Result) -> str:
    """The line under a table: its source."""
    machine = result.machine
    loops = (*machine.loop_before_s, *machine.loop_after_s)
    about = (
        f"`{result.command}`, {result.commit}, {result.started[:10]}; {machine.cores} cores, "
        f"a loop takes {min(loops):g} to {max(loops):g} s. Bounds: {verdict(result)}."
    )
    return f"*{about}*" if not result.note else f"*{about} {result.note}*"
