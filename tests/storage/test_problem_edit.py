"""Keys set in a problem file, and everything else left as it stood."""

from __future__ import annotations

from pathlib import Path

import pytest

from learning.spans import Span
from storage.problem_edit import edited, set_keys
from storage.problems import ProblemError, write_problem
from tests.factories import small_problem

TEXT = """# Mine.
target: y  # what counts

retrain:
  # at most
  volume_rows: 10_000  # rows
  on_drift: true
costs: {false_positive: 2}  # dear
"""


def test_a_key_is_replaced_where_it_stands_and_comments_stay() -> None:
    found = edited(TEXT, "retrain", {"volume_rows": 1000, "max_age": None})
    assert found == TEXT.replace(
        "  volume_rows: 10_000  # rows\n  on_drift: true\n",
        f"{'  volume_rows: 1000':<40}  # rows\n  on_drift: true\n  max_age: null\n",
    )


def test_a_section_that_is_not_there_is_added() -> None:
    assert edited("target: y\n", "retrain", {"cooldown": Span.parse("1h")}) == (
        "target: y\n\nretrain:\n  cooldown: 1h\n"
    )


@pytest.mark.parametrize(
    "text",
    ["target: y\nretrain: {on_drift: true}\n", "target: y\nretrain:\n  on_drift: [\n    1]\n"],
)
def test_what_is_not_one_key_a_line_is_refused(text: str) -> None:
    with pytest.raises(ProblemError, match="line 2"):
        edited(text, "retrain", {"on_drift": False}, "mine.yaml")


def test_a_written_problem_is_edited_whole_or_not_at_all(tmp_path: Path) -> None:
    path = write_problem(small_problem(), tmp_path)
    before = path.read_text()
    problem = set_keys(path, "retrain", {"on_drift": False, "max_age": None})
    assert problem.retrain.on_drift is False
    assert problem.retrain.max_age is None
    changed = set(path.read_text().splitlines()) - set(before.splitlines())
    assert len(changed) == 2
    assert all("  # " in line for line in changed)
    with pytest.raises(ProblemError, match="of_windows"):
        set_keys(path, "retrain", {"of_windows": 77})
    assert set(path.read_text().splitlines()) - set(before.splitlines()) == changed
    assert [one.name for one in tmp_path.iterdir()] == ["small.yaml"]
