"""Writes docs/decisions.md, the list of all decisions by their titles."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent / "decisions"
TARGET = FOLDER.with_suffix(".md")
INTRODUCTION = """\
# Decisions

Why things are as they are: one page for each choice that a newcomer would question, oldest first.
Later ones may change earlier ones, and say so.

This list is made from their titles by `python docs/make_decision_list.py`.
"""


def text() -> str:
    """The page as Markdown."""
    lines = [f"- {path.name[:4]} {_link(path)}" for path in sorted(FOLDER.glob("*.md"))]
    return "\n".join([INTRODUCTION, *lines, ""])


def _link(path: Path) -> str:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    title = re.sub(r"^# \d+[.:] ", "", first)
    return f"[{title}](decisions/{path.name})"


def main() -> None:
    """Write the page."""
    TARGET.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
