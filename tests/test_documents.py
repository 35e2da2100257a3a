"""The documentation as pages: complete, current, built without a warning, and whole offline."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import CHECKOUT

DOCS = CHECKOUT / "docs"
FETCHING = re.compile(r"<(?:script|img|iframe|link)\b[^>]*>")


def pages(entries: list[Any]) -> Iterator[str]:
    """The files of a navigation, in its order."""
    for entry in entries:
        for below in entry.values():
            if isinstance(below, str):
                yield below
            else:
                yield from pages(below)


def test_every_page_is_in_the_navigation_once_and_no_other_is() -> None:
    listed = list(pages(yaml.safe_load((CHECKOUT / "mkdocs.yml").read_text())["nav"]))
    there = {str(path.relative_to(DOCS)) for path in DOCS.glob("*.md")}
    assert len(listed) == len(set(listed))
    assert set(listed) == there, "list every page of docs/ under nav in mkdocs.yml"


@pytest.mark.parametrize(
    ("script", "page"),
    [("make_api_reference.py", "api-reference.md"), ("make_decision_list.py", "decisions.md")],
)
def test_a_page_that_is_made_is_current(script: str, page: str) -> None:
    made = runpy.run_path(str(DOCS / script))["text"]()
    assert (DOCS / page).read_text(encoding="utf-8") == made, f"run: python docs/{script}"


def test_the_pages_are_built_strictly_and_ask_nobody_else(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(CHECKOUT / "mkdocs.yml", tmp_path)
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    built = list((tmp_path / "site").rglob("*.html"))
    assert len(built) > len(list(DOCS.glob("*.md")))
    for page in built:
        html = page.read_text()
        fetched = [tag for tag in FETCHING.findall(html) if "http" in tag]
        assert fetched == [], page.name
        assert 'class="mermaid"' not in html, "its script would come from elsewhere"
