"""Windows of the stream: when a look opens one, and when violations are enough."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.decision_windows import (
    MOST_WINDOWS,
    Window,
    Windows,
    look,
    not_yet,
    read_looks,
    write_looks,
)

STEP = 100


def history(verdicts: str) -> Windows:
    """Windows of a string such as ``..x`` (x: violated), each a step apart."""
    return tuple(Window(STEP * place, char == "x") for place, char in enumerate(verdicts))


@pytest.mark.parametrize(
    ("verdicts", "is_enough"),
    [
        ("", False),
        ("x", False),
        ("xx", True),
        (".x", False),
        ("x.", False),  # over: the newest is not violated
        ("x...x", True),
        ("x....x", False),  # the first is more than five windows back
        ("xxxxx.", False),
        (".....xx", True),
    ],
)
def test_two_of_five_and_the_newest(verdicts: str, is_enough: bool) -> None:
    assert (not_yet(history(verdicts), 2, 5) is None) is is_enough


@pytest.mark.parametrize(
    ("verdicts", "violations", "of_windows", "is_enough"),
    [("x", 1, 1, True), ("x.x", 2, 2, False), ("xx.x", 3, 4, True), ("xxx", 3, 3, True)],
)
def test_a_problem_may_ask_for_more_or_for_less(
    verdicts: str, violations: int, of_windows: int, is_enough: bool
) -> None:
    assert (not_yet(history(verdicts), violations, of_windows) is None) is is_enough


def test_what_is_missing_is_counted() -> None:
    assert not_yet(history("x...x."), 2, 5) == (
        "in 1 of the last 5 windows; 2 of 5 and the newest are needed"
    )


@pytest.mark.parametrize(
    ("n_rows", "is_violated", "expected"),
    [
        (150, True, [(0, False), (100, True)]),  # the same window, another verdict
        (199, False, [(0, False), (100, False)]),
        (200, True, [(0, False), (100, False), (200, True)]),
        (950, True, [(0, False), (100, False), (950, True)]),
        (99, True, [(99, True)]),  # the count went back
    ],
)
def test_a_look_opens_a_window_only_after_enough_new_rows(
    n_rows: int, is_violated: bool, expected: list[tuple[int, bool]]
) -> None:
    found = look(history(".."), n_rows, is_violated, STEP)

    assert [(window.opened_at, window.is_violated) for window in found] == expected


def test_the_same_rows_looked_at_again_and_again_are_one_window() -> None:
    windows: Windows = ()
    for _ in range(50):
        windows = look(windows, 1_000, True, STEP)

    assert windows == (Window(1_000, True),)
    assert not_yet(windows, 2, 5) is not None


@given(st.lists(st.tuples(st.integers(0, 500), st.booleans()), max_size=60))
def test_windows_stay_few_rise_and_end_with_the_newest_verdict(
    looks: list[tuple[int, bool]],
) -> None:
    windows, n_rows = (), 0
    for more, is_violated in looks:
        n_rows += more
        windows = look(windows, n_rows, is_violated, STEP)
        assert windows[-1].is_violated is is_violated
    gaps = [b.opened_at - a.opened_at for a, b in pairwise(windows)]

    assert len(windows) <= MOST_WINDOWS
    assert all(gap >= STEP for gap in gaps)


def test_windows_come_back_from_json_as_they_went() -> None:
    looks = {"drift": history("x.x"), "performance": history(""), "estimate": history(".")}

    assert read_looks(json.loads(json.dumps(write_looks(looks)))) == looks
    assert read_looks({}) == {"drift": (), "performance": (), "estimate": ()}
