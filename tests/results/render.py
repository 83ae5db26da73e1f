"""Tables of results between markers in documents.

``<!-- results: headlines NAME … -->`` shows one line of each result, ``<!-- results: table NAME
TABLE -->`` one of its tables, nothing where there is no such result yet; ``<!-- results: missing
-->`` names those. All end at ``<!-- results end -->``.
"""

import re
from collections.abc import Collection, Iterable, Mapping
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


def wanted(documents: Iterable[str]) -> set[str]:
    """Names of the results that these documents show."""
    found: set[str] = set()
    for document in documents:
        for block in _BLOCK.finditer(document):
            kind, *names = block[2].split()
            found.update(names[:1] if kind == "table" else names)
    return found


def rendered(document: str, results: Mapping[str, Result], shown: Collection[str] = ()) -> str:
    """The document with all blocks filled; ``shown``: the results that any document shows.

    Raises:
        ValueError: names a block that cannot be filled, and the reason.
    """
    text = _BLOCK.sub(
        lambda found: f"{found[1]}\n{_block(found[2], results, shown)}{END}", document
    )
    if text.count("<!-- results: ") != text.count(END):
        raise ValueError(f"a block of results does not end with {END}")
    return text


def _block(marker: str, results: Mapping[str, Result], shown: Collection[str]) -> str:
    kind, *names = marker.split()
    if kind == "headlines" and names:
        return _headlines([results[name] for name in names if name in results])
    if kind == "table" and len(names) == 2:
        name, table = names
        if name not in results:
            return ""
        result = results[name]
        if table not in result.tables:
            raise ValueError(f"{name}.json has no table {table}, only {', '.join(result.tables)}")
        return f"\n{result.tables[table].markdown()}\n\n{caption(result)}\n\n"
    if kind == "missing" and not names:
        missing = sorted(set(shown) - set(results))
        return f"\n{', '.join(f'`{name}`' for name in missing) or 'none'}\n\n"
    raise ValueError(f"cannot read the marker «results: {marker}»")


def _headlines(results: list[Result]) -> str:
    if not results:
        return ""
    rows = [
        [
            result.name,
            result.headline,
            verdict(result),
            f"`{result.command}`, {result.commit}, {result.started[:10]}",
        ]
        for result in results
    ]
    table = Table(columns=["result", "in short", "bounds", "command, commit, day"], rows=rows)
    return f"\n{table.markdown()}\n\n"


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
