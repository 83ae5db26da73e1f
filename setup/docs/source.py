"""What only a class's source says of its fields: their docstrings, and the headings above them."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator

_MARKUP = re.compile(r"``([^`]+)``")


def field_texts(kind: type) -> dict[str, tuple[str, str]]:
    """Field name → (heading, docstring) of a class with annotated fields.

    A heading is a comment that stands alone after an empty line; it holds until the next one.
    """
    source = textwrap.dedent(inspect.getsource(kind))
    lines = source.splitlines()
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    texts: dict[str, tuple[str, str]] = {}
    name, heading = "", ""
    for node in definition.body:
        heading = _heading_above(lines, node.lineno - 1) or heading
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            texts[name] = (heading, "")
        elif name and (text := _docstring(node)):
            texts[name] = (texts[name][0], one_line(text))
            name = ""
        else:
            name = ""
    return texts


def one_line(text: str) -> str:
    """A docstring as one line of Markdown, safe in a table."""
    return _MARKUP.sub(r"`\1`", " ".join(text.split())).replace("|", "\\|")


def section_of_each(lines: Iterator[str]) -> dict[str, str]:
    """Constant → the ``# --- title ---`` that it stands under; in a module's order."""
    sections: dict[str, str] = {}
    title = ""
    for line in lines:
        if found := re.match(r"# --- (.+?) -+$", line):
            title = found[1]
        elif found := re.match(r"([A-Z_]+): Final = \w+\(", line):
            sections[found[1]] = title
    return sections


def _docstring(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        value = node.value.value
        return value if isinstance(value, str) else ""
    return ""


def _heading_above(lines: list[str], at: int) -> str:
    comments: list[str] = []
    while at and lines[at - 1].lstrip().startswith("#"):
        at -= 1
        comments.insert(0, lines[at].strip().lstrip("# "))
    if not comments or (at and lines[at - 1].strip()):
        return ""
    return one_line(" ".join(comments))
