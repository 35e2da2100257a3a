"""Replay: what this loop would have done with a stretch of history, under several policies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from learning.performance import chosen_metric
from learning.problem import Problem
from learning.replay_advice import Advice, advise
from learning.replay_loop import PolicyReplay
from learning.replay_policies import RIVER, YARDSTICKS, find_policy, is_yardstick
from learning.replay_record import PolicyState
from learning.replay_result import (
    Answers,
    Judged,
    PolicyResult,
    join_segments,
    judge_answers,
    judged_rows,
)
from learning.replay_river import learn_along
from learning.replay_stream import Stream, segments
from learning.replay_workshop import Workshop
from learning.replay_yardsticks import majority, no_change

FORMAT = 1


class ReplayError(ValueError):
    """This cannot be replayed; the message says what was found and what to do."""


@dataclass(frozen=True)
class Plan:
    """What is replayed: a stream, the problem's rules, and the names of policies.

    ``n_segments`` parts of the stream are replayed each from its own start. Stream learners see no
    more than ``learner_rows`` of each.
    """

    stream: Stream
    problem: Problem
    policies: tuple[str, ...]
    n_segments: int = 1
    learner_rows: int = 1_000_000

    @property
    def parts(self) -> tuple[Stream, ...]:
        """The segments."""
        if self.n_segments == 1:
            return (self.stream,)
        return segments(self.stream, self.n_segments)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """One policy and one segment each; those of a segment, which share work, together."""
        return tuple(
            Job(name, segment) for segment in range(self.n_segments) for name in self.policies
        )

    @property
    def digest(self) -> str:
        """Tells apart what would come out differently; policies do not count."""
        stream, found = self.stream, hashlib.sha256()
        for array in (stream.rows.x, stream.rows.y, stream.rows.times, stream.known_at):
            found.update(np.ascontiguousarray(array).tobytes())
        told = (FORMAT, stream.batch_rows, self.n_segments, self.learner_rows, stream.schema)
        found.update(f"{told} {self.problem.model_dump_json()}".encode())
        return found.hexdigest()[:16]


@dataclass(frozen=True)
class Job:
    """One policy over one segment."""

    policy: str
    segment: int

    @property
    def name(self) -> str:
        """A name for files and logs."""
        return f"{self.policy.replace(':', '-')}-{self.segment}"


@dataclass(frozen=True)
class ReplayResult:
    """What came of all policies, and what is recommended."""

    task: str
    metric: str
    n_rows: int
    delay_rows: int
    batch_rows: int
    results: tuple[PolicyResult, ...]
    advice: Advice


def make_plan(
    stream: Stream,
    problem: Problem,
    policies: Sequence[str],
    n_segments: int = 1,
    learner_rows: int = 1_000_000,
) -> Plan:
    """A plan with the policies named and the yardsticks that cost nothing.

    Raises ReplayError for a policy that is unknown, or segments too short to train on.
    """
    names = tuple(dict.fromkeys((*policies, *YARDSTICKS)))
    try:
        for name in names:
            if not is_yardstick(name):
                find_policy(name, problem)
    except ValueError as error:
        raise ReplayError(str(error)) from error
    if all(is_yardstick(name) for name in names):
        raise ReplayError("found no policy among the yardsticks; add --policy auto, for one")
    needed = problem.windows.bootstrap_rows + stream.delay_rows + 2 * stream.batch_rows
    if n_segments < 1 or len(stream) // n_segments < needed:
        raise ReplayError(
            f"found {len(stream):,} rows for {n_segments} segment{'s' * (n_segments != 1)}; each "
            f"needs {needed:,}: {problem.windows.bootstrap_rows} for a first champion, "
            f"{stream.delay_rows} until their labels come, and some to judge by"
        )
    return Plan(stream, problem, names, n_segments, learner_rows)


def open_policy(shop: Workshop, name: str, state: PolicyState | None = None) -> PolicyReplay:
    """A policy of the workshop's problem at its beginning, or where ``state`` left it."""
    return PolicyReplay(shop, find_policy(name, shop.problem), state)


def run_yardstick(
    stream: Stream, name: str, learner_rows: int, seed: int, cpu: Callable[[], float]
) -> Iterator[int | Answers]:
    """How many rows it has come to, now and then; its answers last."""
    began = cpu()
    output = np.full((len(stream), len(stream.schema.classes) or 1), np.nan)
    if name in RIVER:
        for place, row in enumerate(learn_along(stream, name, learner_rows, seed)):
            output[place] = row
            if place % 500 == 499:
                yield place + 1
    else:
        output = no_change(stream) if name == "no_change" else majority(stream)
    yield Answers(name, output, np.full(len(stream), 0.5), cpu() - began, False)


def conclude(plan: Plan, answers: Sequence[Sequence[Answers]]) -> ReplayResult:
    """Judge the answers of each segment, in the plan's order of policies.

    Raises ReplayError when no row was answered by all policies.
    """
    joined = [join_segments(parts) for parts in zip(*answers, strict=True)]
    metric = chosen_metric(plan.stream.schema.task, plan.problem.performance)
    rows = judged_rows(plan.stream, joined)
    if not rows.any():
        raise ReplayError(f"no policy got a first champion: {_why(joined)}")
    judged = Judged(plan.stream, plan.problem, metric, rows)
    results = judge_answers(judged, joined)
    return ReplayResult(
        plan.stream.schema.task,
        metric,
        len(plan.stream),
        plan.stream.delay_rows,
        plan.stream.batch_rows,
        results,
        advise(results, plan.problem, metric),
    )


def _why(answers: Sequence[Answers]) -> str:
    verdicts = [trial.verdict for one in answers for trial in one.trials]
    return verdicts[-1] if verdicts else "too few labels came"
