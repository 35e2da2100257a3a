"""Former champions in a replay: who returns, when, and how it is told."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pandas as pd

from learning.replay import conclude, make_plan
from learning.replay_archive import ask_archive
from learning.replay_page import write_page
from learning.replay_result import answers_of
from learning.replay_state import read_state, write_state
from learning.replay_stream import Stream
from learning.replay_table import as_json
from learning.replay_workshop import Model, Workshop
from tests.factories import small_problem, small_rows
from tests.learning.replays import (
    N_CALM,
    opened,
    replayed,
    rows_of,
    small_stream,
    still_clock,
)


@cache
def returning_stream() -> Stream:
    """A world that turns, and turns back."""
    parts = small_rows(0, 300), small_rows(300, 300, turned=True), small_rows(600, 300)
    return small_stream(0, rows_of(pd.concat(parts), small_problem()))


def test_a_world_that_returns_takes_its_model_back_without_a_training() -> None:
    state = replayed(returning_stream(), "auto")

    (back,) = state.returns
    assert state.served == back.place
    first = state.trials[back.place]
    assert (first.position, first.attempt.trigger) == (back.made_at, "bootstrap")
    assert first.position < 300 <= 600 < back.position
    assert back.position not in [trial.position for trial in state.trials]
    assert back.why.startswith("better than the champion: roc_auc gain over the champion +0.")


def test_a_fixed_rhythm_always_trains() -> None:
    assert replayed(returning_stream(), "always").returns == ()


def test_a_replay_that_stops_behind_a_return_goes_on_to_the_same_end() -> None:
    whole = replayed(returning_stream(), "auto")
    stopped = opened(returning_stream(), "auto")
    for _ in stopped.run():
        if stopped.state.returns:
            break
    arrays, rest = write_state(stopped.state)
    again = opened(returning_stream(), "auto", read_state(arrays, json.loads(json.dumps(rest))))
    for _ in again.run():
        pass
    np.testing.assert_array_equal(again.state.output, whole.output)
    assert again.state.returns == whole.returns
    assert len(whole.returns) == 1


def test_returns_are_told_beside_trainings() -> None:
    stream = returning_stream()
    plan = make_plan(stream, small_problem(), ["auto"])
    result = conclude(plan, [[answers_of("auto", replayed(stream, "auto"))]])

    (told,) = as_json(result)["policies"]["auto"]["returns"]
    assert told["made_at_row"] < told["row"]
    assert "1 former champion back" in write_page(result, "returns", "")


def test_a_young_champion_learns_from_those_before_it_since_when_the_world_is_another() -> None:
    stream = small_stream()
    shop = Workshop(stream, small_problem(), still_clock)
    first, _ = shop.train(shop.key_at(200, None, None, "bootstrap")[0])
    assert isinstance(first, Model)
    saw, _ = shop.key_at(500, first, first, "performance")
    young, _ = shop.train(saw)
    assert isinstance(young, Model)

    alone, _ = shop.key_at(600, young, young, "volume")
    asked, _ = shop.key_at(600, young, young, "volume", former=[first])

    assert alone.changed_at is None
    assert asked.changed_at is not None
    row = int(np.searchsorted(stream.rows.times.astype(np.int64), asked.changed_at))
    assert abs(row - N_CALM) <= 10


def test_what_was_expected_of_a_model_under_one_policy_does_not_bind_another() -> None:
    stream = returning_stream()
    whole = replayed(stream, "auto")
    (back,) = whole.returns
    shop = Workshop(stream, small_problem(), still_clock)
    former, champion = (
        shop.train(whole.trials[place].key)[0] for place in (back.place, len(whole.trials) - 1)
    )
    assert isinstance(former, Model)
    assert isinstance(champion, Model)

    def returned(expected: float | None) -> bool:
        asked = {0: (former, expected)}
        return ask_archive(shop, back.position, asked, champion, None)[0] is not None

    assert returned(whole.trials[back.place].expected)
    assert not returned(1.5)  # in the same workshop: nobody could be as good
    assert returned(None)
