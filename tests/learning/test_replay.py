"""Replay: the same rules, no look-ahead, the same result each time and after each stop."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from learning.replay import ReplayError, conclude, make_plan, run_yardstick
from learning.replay_policies import USUAL, find_policy
from learning.replay_result import Answers, answers_of
from learning.replay_state import read_state, write_state
from learning.replay_table import as_json, cells, markdown
from learning.rows import Rows
from learning.spans import Span
from tests.factories import small_problem
from tests.learning.replays import (
    N_CALM,
    opened,
    outcomes,
    replayed,
    small_history,
    small_stream,
    still_clock,
    usual,
)


def test_a_policy_that_trains_follows_the_turn_and_a_frozen_model_does_not() -> None:
    follows, never = usual("auto"), usual("never")
    assert outcomes(never) == [(200, "bootstrap", "promoted")]
    assert outcomes(follows)[-1] == (500, "performance", "promoted")
    # At 400 the challenger of 300 still waits to be judged on more rows.
    assert [one.position for one in usual("every:100").trials] == [200, 300, 500]
    assert [one.looks for one in usual("every:100").trials] == [1, 2, 1]
    y = small_history().y[500:]
    right = [((one.output[500:, 1] >= 0.5) == (y > 0.5)).mean() for one in (follows, never)]
    assert right[0] > 0.7 > 0.5 > right[1]


def test_a_replay_comes_out_the_same_each_time() -> None:
    again = replayed(small_stream(50), "auto")
    np.testing.assert_array_equal(again.output, usual("auto", 50).output)
    assert again.trials == usual("auto", 50).trials
    assert again.alarms == usual("auto", 50).alarms


@pytest.mark.parametrize(("cut", "delay"), [(230, 0), (410, 75), (525, 0)])
def test_rows_to_come_change_no_answer(cut: int, delay: int) -> None:
    rows, chance = small_history(), np.random.default_rng(cut)
    x, y = rows.x.copy(), rows.y.copy()
    x[cut:, :2] = chance.normal(size=(len(x) - cut, 2))
    y[cut:] = 1 - y[cut:]
    after = replayed(small_stream(delay, Rows(x, y, rows.times)), "every:100")
    before = usual("every:100", delay)
    np.testing.assert_array_equal(before.output[:cut], after.output[:cut])
    past = [one for one in outcomes(before) if one[0] <= cut]
    assert past == [one for one in outcomes(after) if one[0] <= cut]


@pytest.mark.parametrize("delay", [75, "75m"])
def test_a_label_is_used_only_when_its_delay_is_over(delay: object) -> None:
    rows = small_history()
    y = rows.y.copy()
    y[100:] = 1 - y[100:]
    # With the label of row 100 known at 176, it may bear on answers from the turn at 200 on.
    stream = small_stream(delay, replace(rows, y=y))
    assert stream.known_at[100] == 176
    assert stream.n_known(175) == 100
    before, after = usual("every:100", delay), replayed(stream, "every:100")
    first = before.trials[0].position
    assert first == 300  # 225 labels are known, 125 at the turn before
    np.testing.assert_array_equal(before.output[:first], after.output[:first])
    assert not np.array_equal(before.output[first:400], after.output[first:400])


@pytest.mark.parametrize("turns", [1, 3])
def test_a_stopped_replay_goes_on_to_the_same_end(turns: int) -> None:
    whole = usual("auto", 50)
    replay = opened(small_stream(50), "auto")
    for _, _ in zip(range(turns), replay.run(), strict=False):
        pass
    arrays, rest = write_state(replay.state)
    kept = read_state(arrays, json.loads(json.dumps(rest)))
    again = opened(small_stream(50), "auto", kept)
    for _ in again.run():
        pass
    np.testing.assert_array_equal(again.state.output, whole.output)
    assert again.state.trials == whole.trials
    assert again.state.alarms == whole.alarms


def test_every_policy_is_what_a_problem_file_can_say() -> None:
    problem = small_problem()
    for name in USUAL:
        rules = find_policy(name, problem).of(problem).retrain
        assert type(rules).model_validate(rules.model_dump()) == rules
    assert find_policy("auto", problem).of(problem) == problem
    age = find_policy("every:7d", problem).of(problem).retrain.max_age
    assert age == Span.parse("7d")


@pytest.mark.parametrize("name", ["sometimes", "every:often", "every:5", "river:xyz"])
def test_an_unknown_policy_is_told_with_those_that_are_known(name: str) -> None:
    with pytest.raises(ReplayError, match="expected"):
        make_plan(small_stream(), small_problem(), [name])


def test_too_short_a_history_is_told_with_what_it_needs() -> None:
    with pytest.raises(ReplayError, match=r"each needs 400: 200 for a first champion"):
        make_plan(small_stream(), small_problem(), ["auto"], n_segments=4)


def test_the_document_keeps_the_contract() -> None:
    stream, problem = small_stream(), small_problem()
    plan = make_plan(stream, problem, ["auto", "never"])
    answers = [answers_of(name, usual(name)) for name in ("auto", "never")]
    for name in ("no_change", "majority"):
        answers += [
            found
            for found in run_yardstick(stream, name, 1_000, 0, still_clock)
            if isinstance(found, Answers)
        ]
    result = conclude(plan, [answers])
    found = json.loads(json.dumps(as_json(result)))
    assert {"task", "metric", "rows", "label_delay_rows", "policies", "recommendation"} <= set(
        found
    )
    assert (found["task"], found["metric"]) == ("binary", "roc_auc")
    assert (found["rows"], found["label_delay_rows"]) == (600, 0)
    assert list(found["policies"]) == ["auto", "never", "no_change", "majority"]
    keys = {"metric", "retrains", "promotions", "cpu_seconds", "rows_per_second", "regret"}
    assert all(keys <= set(one) for one in found["policies"].values())
    assert found["best"] in ("auto", "never")
    assert found["policies"]["never"]["regret"] > 0 == found["policies"]["auto"]["regret"]
    assert found["recommendation"].startswith(f"Use {found['best']}: roc_auc ")
    assert found["policies"]["never"]["changes"][0]["row"] == N_CALM
    head, rows = cells(result)
    assert all(len(row) == len(head) for row in rows)
    assert markdown(result).count("\n|") == len(rows) + 2
