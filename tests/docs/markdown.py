"""Parses Markdown documents: headings, links, code."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Final

# Indented where it belongs to an item of a list.
_FENCE: Final = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)")
_SPAN: Final = re.compile(r"`([^`]+)`")


def without_blocks(text: str) -> str:
    """The document without its fenced code."""
    return _FENCE.sub("", text)


def blocks(text: str) -> list[str]:
    """Fenced code."""
    return _FENCE.findall(text)


def spans(text: str) -> list[str]:
    """Inline code; a line break within it counts as a space."""
    return [" ".join(span.split()) for span in _SPAN.findall(without_blocks(text))]


def links(text: str) -> list[str]:
    """Targets of links and pictures, except in code."""
    return _LINK.findall(_SPAN.sub("", without_blocks(text)))


def anchors(text: str) -> set[str]:
    """Anchors of headings, as on GitHub."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in _headings(text):
        anchor = _anchor(heading)
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def _headings(text: str) -> Iterator[str]:
    for line in without_blocks(text).splitlines():
        if heading := re.match(r"#{1,6} +(.*?)\s*$", line):
            yield heading[1]


def _anchor(heading: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    kept = (c for c in plain if c in " -_" or unicodedata.category(c)[0] in "LN")
    return "".join(kept).replace(" ", "-")
