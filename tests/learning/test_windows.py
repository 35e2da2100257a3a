"""Nobody trains on the holdout, one time is never on both sides, and sizes are as asked for."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.problem import Windows
from learning.rows import Rows
from learning.windows import Split, rows_learnt, split_holdout, take_window


def rows_at(hours: Any) -> Rows:
    """Rows at these hours, in order; the value of a row is its place."""
    times = np.asarray(sorted(hours), dtype="datetime64[h]").astype("datetime64[us]")
    place = np.arange(len(times), dtype=float)
    return Rows(place[:, None].astype(np.float32), place, times)


def split(rows: Rows, end: int | None = None, min_rows: int = 30, **windows: Any) -> Split:
    champion_end = None if end is None else np.datetime64(end, "h").astype("datetime64[us]")
    return split_holdout(rows, champion_end, Windows.model_validate(windows), min_rows)


def sizes(found: Split) -> tuple[int, int]:
    return len(found.training), len(found.holdout)


def test_no_rows_split_into_nothing() -> None:
    assert sizes(split(rows_at([]))) == (0, 0)
    assert sizes(split(rows_at([]), end=5)) == (0, 0)


def test_without_a_champion_the_holdout_is_a_share_of_all_rows() -> None:
    found = split(rows_at(range(1_000)))

    assert sizes(found) == (750, 250)
    assert found.training.y[-1] + 1 == found.holdout.y[0] == 750


def test_with_a_champion_it_is_a_share_of_the_newer_rows() -> None:
    assert sizes(split(rows_at(range(1_000)), end=599)) == (900, 100)


def test_nothing_newer_than_the_champion_leaves_no_holdout() -> None:
    assert sizes(split(rows_at(range(100)), end=99)) == (100, 0)
    assert sizes(split(rows_at(range(100)), end=5_000)) == (100, 0)


def test_few_newer_rows_are_all_held_out() -> None:
    assert sizes(split(rows_at(range(100)), end=89)) == (90, 10)


@pytest.mark.parametrize(
    ("windows", "min_rows", "expected"),
    [
        ({"holdout_rows": 100}, 30, (900, 100)),
        ({"holdout_share": 0.01}, 50, (950, 50)),
        ({"holdout_rows": 30}, 50, (950, 50)),  # what the gate asks for wins
        ({"training_rows": 500}, 30, (500, 250)),
    ],
)
def test_sizes_keep_to_their_limits(
    windows: dict[str, Any], min_rows: int, expected: tuple[int, int]
) -> None:
    found = split(rows_at(range(1_000)), None, min_rows, **windows)

    assert sizes(found) == expected
    assert found.holdout.y[-1] == 999


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((700, 100, 200), (700, 300)),  # the cut at 750 is as near to 700 as to 800: before
        ((700, 60, 240), (760, 240)),
        ((740, 100, 160), (740, 260)),
        ((900, 100), (900, 100)),  # before would leave nothing to train on
        ((740, 260), (740, 260)),
        ((970, 30), (970, 30)),
        ((975, 25), (0, 1_000)),  # behind would leave fewer than the gate asks for
        ((1_000,), (0, 1_000)),
    ],
)
def test_equal_times_move_the_cut_to_the_nearest_change(
    counts: tuple[int, ...], expected: tuple[int, int]
) -> None:
    assert sizes(split(rows_at(np.repeat(np.arange(len(counts)), counts)))) == expected


def test_a_far_change_of_time_is_better_than_nothing_to_train_on() -> None:
    rows = rows_at(np.repeat([0, 1], [900, 100]))

    assert sizes(split(rows, holdout_share=0.8)) == (900, 100)


@given(
    st.lists(st.integers(0, 40), max_size=300),
    st.one_of(st.none(), st.integers(-1, 45)),
    st.floats(0.01, 0.89),
    st.integers(30, 100),
    st.integers(20, 60),
)
def test_the_holdout_is_newer_than_everything_trained_on(
    hours: list[int], end: int | None, share: float, holdout_rows: int, min_rows: int
) -> None:
    rows = rows_at(hours)

    found = split(rows, end, min_rows, holdout_share=share, holdout_rows=holdout_rows)

    training, holdout = found.training, found.holdout
    assert len(training) + len(holdout) == len(rows)
    if len(training) and len(holdout):
        assert training.times[-1] < holdout.times[0]
    if end is not None:
        n_new = sum(hour > end for hour in hours)
        assert (holdout.times > np.datetime64(end, "h")).all()
        assert min(n_new, min_rows) <= len(holdout) <= n_new
    else:
        assert len(holdout) >= min(len(rows), min_rows)


@pytest.mark.parametrize(
    ("window", "n_rows", "expected"),
    [
        ("all", 5_000, 5_000),
        ("recent", 5_000, 1_500),
        ("newest", 5_000, 250),
        ("newest", 1_500, 200),
        ("recent", 150, 150),
        ("newest", 0, 0),
    ],
)
def test_a_window_is_the_newest_part_and_never_under_two_hundred_rows(
    window: str, n_rows: int, expected: int
) -> None:
    taken = take_window(rows_at(range(n_rows)), window)

    assert taken.y.tolist() == list(range(n_rows - expected, n_rows))


def test_after_a_change_the_holdout_is_a_share_of_what_came_since() -> None:
    rows, windows = rows_at(range(1_000)), Windows(holdout_share=0.25)
    since, end = (np.datetime64(hour, "h").astype("datetime64[us]") for hour in (800, 199))
    assert sizes(split_holdout(rows, end, windows, 30)) == (800, 200)
    assert sizes(split_holdout(rows, end, windows, 30, since)) == (950, 50)
    assert len(take_window(rows, "changed", since)) == 200
    late = np.datetime64(961, "h").astype("datetime64[us]")
    assert len(take_window(rows, "changed", late)) == 0  # 39 rows are too few
    assert len(take_window(rows, "changed")) == 0


@pytest.mark.parametrize(
    ("n_rows", "window", "learnt"),
    [(500, "all", 500), (500, "changed", 500), (10_000, "fading", 2_885), (100, "fading", 100)],
)
def test_rows_whose_weights_fade_count_as_the_equal_ones_they_add_up_to(
    n_rows: int, window: str, learnt: int
) -> None:
    assert rows_learnt(n_rows, window) == learnt  # 0.2 · 10,000 / ln 2
