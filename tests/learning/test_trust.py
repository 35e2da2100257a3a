"""Whose labels train and whose judge, with numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from learning.gate_rules import TrustRules
from learning.problem import Task
from learning.trust import (
    Expected,
    Finding,
    Labels,
    cap_clients,
    describe,
    estimate_noise,
    find_echoes,
    trust,
)

NAMES = ("a", "b", "c")
LATE = np.datetime64("2100-01-01", "us")
# Wilson's upper end for 800 of 1,000 is 0.8236: half of the errors gone leaves 0.9118, and
# 0.9118^n falls below 1 in 10,000 at n = 100.
KNOWN = Expected(0.8, 1_000, True)


def labels(
    y: Any,
    said: Any = None,
    fed_back: Any = True,
    client: Any = 0,
    task: Task = "binary",
) -> Labels:
    """Labels a minute apart; what is not given is one client's feedback to unknown answers."""
    y = np.asarray(y, dtype=float)
    n = len(y)
    return Labels(
        task,
        y,
        np.arange(n).astype("datetime64[m]").astype("datetime64[us]"),
        np.broadcast_to(np.asarray(fed_back), n).astype(bool),
        np.broadcast_to(np.asarray(client), n).astype(np.intp),
        np.full(n, np.nan) if said is None else np.asarray(said, dtype=float),
        NAMES,
    )


def agreeing(n_rows: int, n_same: int, **rest: Any) -> Labels:
    """A client's labels, all 1, to answers of which the first ``n_same`` were 1 too."""
    return labels(np.ones(n_rows), np.arange(n_rows) < n_same, **rest)


def places(mask: np.ndarray) -> list[int]:
    return [int(place) for place in np.flatnonzero(mask)]


def test_rows_of_the_future_neither_train_nor_judge() -> None:
    now = np.datetime64(7, "m")

    found = trust(labels(np.zeros(10)), TrustRules(), now, False, None)

    assert places(found.trains) == places(found.judges) == list(range(8))
    assert [(finding.kind, finding.n_rows) for finding in found.findings] == [("future", 2)]


@pytest.mark.parametrize(
    ("has_other", "rules", "judging"),
    [
        (True, {}, [0, 1]),  # feedback never judges beside another source
        (False, {}, [0, 1, 2, 3]),  # where it is all there is, it does
        (False, {"feedback_judges": "never"}, [0, 1]),
    ],
)
def test_who_judges(has_other: bool, rules: dict[str, Any], judging: list[int]) -> None:
    some = labels(np.zeros(4), fed_back=[False, False, True, True])

    found = trust(some, TrustRules.model_validate(rules), LATE, has_other, None)

    assert places(found.judges) == judging
    assert places(found.trains) == [0, 1, 2, 3]


def test_a_client_is_thinned_to_its_share_evenly_over_its_time() -> None:
    # Six rows of a, two of b, two that no client sent: a may be as many as the four others.
    some = labels(np.zeros(10), fed_back=[1] * 8 + [0, 0], client=[0] * 6 + [1] * 4)

    ((finding, left_out),) = cap_clients(some, np.ones(10, dtype=bool), 0.5, True)

    assert places(left_out) == [1, 4]  # kept: 0, 5/3 → 2, 10/3 → 3, 5
    assert (finding.kind, finding.n_rows, finding.share) == ("flood", 2, 0.6)
    assert finding.text == "a sent 60.0% of the labelled rows, allowed 50%: 2 rows left out"


@pytest.mark.parametrize(
    ("share", "client", "has_other", "n_left_out"),
    [
        (0.5, 0, False, []),  # nobody to hold the only one against
        (0.5, 0, True, [9]),  # another source is somebody: nine rows against none
        (0.25, [0] * 6 + [1] * 3, False, [5, 1]),  # a may be 3/3 = 1 of 6, b 6/3 = 2 of 3
        (1.0, [0] * 8 + [1], False, []),
    ],
)
def test_who_is_held_to_a_share(
    share: float, client: Any, has_other: bool, n_left_out: list[int]
) -> None:
    some = labels(np.zeros(9), client=client)

    found = list(cap_clients(some, np.ones(9, dtype=bool), share, has_other))

    assert [finding.n_rows for finding, _ in found] == n_left_out


def test_what_was_left_out_for_flooding_does_not_judge_either() -> None:
    some = labels(np.zeros(10), client=[0] * 8 + [1] * 2)

    found = trust(some, TrustRules(), LATE, False, None)

    assert places(found.trains) == places(found.judges) == [0, 7, 8, 9]


@pytest.mark.parametrize(
    ("n_rows", "n_same", "n_echoed"),
    [
        (60, 20, 20),  # a third to the last digit
        (60, 19, 0),  # too few to be sure
        (101, 20, 0),  # less than a fifth
    ],
)
def test_numbers_that_equal_the_prediction(n_rows: int, n_same: int, n_echoed: int) -> None:
    y = np.linspace(1, 2, n_rows)
    said = y + np.where(np.arange(n_rows) < n_same, 1e-9, 0.1)

    found = list(find_echoes(labels(y, said, task="regression"), None))

    assert [finding.n_rows for finding, _ in found] == ([n_echoed] if n_echoed else [])
    assert all(places(rows) == list(range(n_echoed)) for _, rows in found)


@pytest.mark.parametrize(
    ("n_rows", "n_same", "is_echo"),
    [
        (110, 110, True),  # 0.9118^110 = 4 in 100,000
        (60, 60, False),  # 0.9118^60 = 4 in 1,000: chance may do that
        (200, 184, False),  # 92% is what half of the errors gone would leave
        (200, 199, True),
    ],
)
def test_classes_that_agree_more_than_the_model_is_right(
    n_rows: int, n_same: int, is_echo: bool
) -> None:
    found = list(find_echoes(agreeing(n_rows, n_same), KNOWN))

    assert [finding.n_rows for finding, _ in found] == ([n_rows] if is_echo else [])


def test_only_the_stretch_that_echoes_is_left_out() -> None:
    answers = np.ones(400)
    answers[:200:5] = 0  # a fifth wrong, as the model is; then never

    ((finding, rows),) = find_echoes(labels(np.ones(400), answers), KNOWN)

    assert places(rows) == list(range(200, 400))
    assert finding.share == pytest.approx(0.9)
    assert "a echoes predictions: 90.0% of 400 labels repeat the answer" in finding.text


def test_the_honest_client_beside_an_echo_is_believed() -> None:
    honest = np.arange(600) % 2 == 1
    answers = np.where(honest & (np.arange(600) % 5 == 0), 0.0, 1.0)
    both = labels(np.ones(600), answers, client=honest.astype(int))

    found = trust(both, TrustRules(max_client_share=1), LATE, False, KNOWN)

    assert places(found.trains) == places(honest)
    lenient = TrustRules(max_client_share=1, refuse_echoes=False)
    assert trust(both, lenient, LATE, False, KNOWN).trains.all()


@pytest.mark.parametrize("expected", [None, Expected(1.0, 1_000, True)])
def test_nothing_tells_an_echo_by_where_the_model_never_errs(expected: Expected | None) -> None:
    assert not list(find_echoes(agreeing(500, 500), expected))


def test_flips_are_solved_for() -> None:
    # 32 of 100 disagree where the model errs on 20%: (0.32 - 0.2) / (1 - 0.4) = 20% were flipped,
    # ± 1.96 · sqrt(0.32 · 0.68 / 100 + 0.2 · 0.8 / 1000) / 0.6 = 15.8%.
    found = estimate_noise(agreeing(100, 68), np.ones(100, dtype=bool), KNOWN)

    assert found is not None
    assert (found.kind, found.n_rows) == ("noise", 0)
    assert found.share == pytest.approx(0.2)
    assert found.text.startswith("label noise of /feedback about 20.0% [4.2%, 35.8%]: the model")


def test_with_three_classes_a_flip_hits_the_right_one_half_the_time() -> None:
    some = labels(np.full(100, 2.0), 2.0 * (np.arange(100) < 68))

    found = estimate_noise(some, np.ones(100, dtype=bool), KNOWN)

    assert found is not None
    assert found.share == pytest.approx(0.12 / 0.7)


@pytest.mark.parametrize(
    ("n_rows", "expected"),
    [(49, KNOWN), (100, Expected(0.8, 49, True)), (100, Expected(0.52, 900, True)), (100, None)],
)
def test_noise_that_nobody_can_tell(n_rows: int, expected: Expected | None) -> None:
    good = np.ones(n_rows, dtype=bool)

    assert estimate_noise(agreeing(n_rows, n_rows // 2), good, expected) is None


def test_less_error_than_expected_is_no_noise() -> None:
    found = estimate_noise(agreeing(100, 90), np.ones(100, dtype=bool), KNOWN)

    assert found is not None
    assert found.share == 0


def test_senders_are_those_of_the_rows_asked_for() -> None:
    some = labels(np.zeros(6), fed_back=[1, 1, 1, 1, 0, 0], client=[0, 1, 0, 1, 2, 2])

    found = dict(some.senders(np.array([0, 2, 3, 4])))

    assert {name: places(rows) for name, rows in found.items()} == {"a": [0, 1], "b": [2]}


def test_findings_become_a_sentence() -> None:
    assert describe([Finding("echo", 1, "one"), Finding("noise", 0, "two")]) == "one; two"
    assert describe([]) == ""
