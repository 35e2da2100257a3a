"""A small stream and its replays, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pandas as pd

from learning.problem import Problem
from learning.replay import open_policy
from learning.replay_loop import PolicyReplay
from learning.replay_record import PolicyState
from learning.replay_stream import Stream, make_stream
from learning.replay_workshop import Workshop
from learning.rows import EVENT_TIME, LABEL, Rows, Schema, encode
from learning.spans import Span
from tests.factories import small_problem, small_rows

N_CALM, N_TURNED = 300, 300
BATCH = 100


def still_clock() -> float:
    """Processor seconds in a world where nothing takes time."""
    return 0.0


def rows_of(frame: pd.DataFrame, problem: Problem) -> Rows:
    """Rows of the small problem."""
    named = frame.rename(columns={"when": EVENT_TIME, "label": LABEL})
    return encode(named, Schema.of(problem))


@cache
def small_history(n_turned: int = N_TURNED) -> Rows:
    """Rows whose inputs and concept turn half way."""
    frame = pd.concat([small_rows(0, N_CALM), small_rows(N_CALM, n_turned, turned=True)])
    return rows_of(frame, small_problem())


def small_stream(delay: Any = 0, rows: Rows | None = None) -> Stream:
    """The small history as a stream."""
    rows = small_history() if rows is None else rows
    schema = Schema.of(small_problem())
    return make_stream(rows, schema, Span.parse(delay), BATCH, (N_CALM,))


@cache
def usual(policy: str, delay: Any = 0) -> PolicyState:
    """The state of a policy at the end of the small stream."""
    return replayed(small_stream(delay), policy)


def replayed(stream: Stream, policy: str) -> PolicyState:
    """The state of a policy at the end of a stream."""
    replay = opened(stream, policy)
    for _ in replay.run():
        pass
    return replay.state


def opened(stream: Stream, policy: str, state: PolicyState | None = None) -> PolicyReplay:
    """A policy that has taken no turn, or goes on from a state."""
    return open_policy(Workshop(stream, small_problem(), still_clock), policy, state)


def outcomes(state: PolicyState) -> Sequence[tuple[int, str | None, str]]:
    """Position, trigger and outcome of every training."""
    return [(one.position, one.attempt.trigger, one.attempt.state) for one in state.trials]
