"""What policies of one replay share: trainings, answers, drift checks, each computed once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from learning.change import MOST_ERRORS, changed_at, first_change
from learning.drift import DriftResult, check_drift
from learning.drift_outputs import INPUTS, keep_references
from learning.drift_reference import ReferenceStatistics
from learning.models import TrainingError
from learning.problem import Problem
from learning.replay_stream import Stream
from learning.rows import Floats
from learning.search import Candidate, thin, warm_start
from learning.training import Challenger, needs_search, train_challenger
from learning.windows import rows_learnt

CHUNK_ROWS = 1_000
T = TypeVar("T")


@dataclass(frozen=True)
class TrainingKey:
    """What a training depends on: the rows whose label is known, and the champion.

    Of that, where its training rows end, since when its errors are others (both in microseconds
    since 1970), its candidate as JSON, and how many labelled rows there were when that was
    searched for, where it may do without another search.
    """

    n_known: int
    champion_end: int | None
    changed_at: int | None = None
    first: str | None = None
    searched_rows: int | None = None


@dataclass(frozen=True)
class Model:
    """A challenger with what its inputs are compared with while it serves."""

    key: TrainingKey
    challenger: Challenger
    reference: ReferenceStatistics

    @property
    def n_learnt(self) -> int:
        """How many rows it rests on."""
        return rows_learnt(len(self.challenger.training), self.challenger.window)

    @property
    def candidate(self) -> str:
        """Its kind, parameters and window, as JSON."""
        made = self.challenger
        return json.dumps([made.fitted.kind, made.fitted.parameters, made.window])

    @property
    def training_end(self) -> np.datetime64:
        """Event time of its newest training row."""
        newest: np.datetime64 = self.challenger.training.times[-1]
        return newest


class Workshop:
    """Does the work that depends on the stream and a model, but on no policy.

    Each result is kept with the seconds it took, so that every policy can be charged for it as if
    it ran alone. ``cpu`` gives the processor seconds used so far.
    """

    def __init__(self, stream: Stream, problem: Problem, cpu: Callable[[], float]) -> None:
        self.stream, self.problem, self._cpu = stream, problem, cpu
        self._kept: dict[tuple[Any, ...], tuple[Any, float]] = {}

    def timed(self, key: tuple[Any, ...], work: Callable[[], T]) -> tuple[T, float]:
        """The result under a key, and the seconds it took when it was computed."""
        if key not in self._kept:
            began = self._cpu()
            self._kept[key] = work(), self._cpu() - began
        value, seconds = self._kept[key]
        return value, seconds

    def key_at(
        self,
        position: int,
        champion: Model | None,
        newest: Model | None,
        trigger: str | None,
        former: Iterable[Model] = (),
    ) -> tuple[TrainingKey, float]:
        """What a training at a position would depend on; looks for a change of the errors.

        ``newest`` is the challenger that was trained last, whatever became of it, ``former`` are
        the champions before this one, newest first.
        """
        n_known = self.stream.n_known(position)
        if champion is None:
            return TrainingKey(n_known, None), 0.0
        spent = list[float]()

        def ask(model: Model) -> np.datetime64 | None:
            found, seconds = self.changed_at(model, n_known)
            spent.append(seconds)
            return found

        change = first_change(map(ask, chain([champion], former)))
        end = int(champion.training_end.astype(np.int64))
        searched: int | None = (newest or champion).challenger.searched_rows
        n_labelled = int((~np.isnan(self.stream.rows.y[:n_known])).sum())
        if needs_search(n_labelled, searched, trigger):
            searched = None
        changed = None if change is None else int(change.astype(np.int64))
        return TrainingKey(n_known, end, changed, champion.candidate, searched), sum(spent)

    def changed_at(self, champion: Model, n_known: int) -> tuple[np.datetime64 | None, float]:
        """Since when a model's errors are others, of those that are known; and the seconds."""
        return self.timed(
            ("change", champion.key, n_known), lambda: self._changed_at(champion, n_known)
        )

    def _changed_at(self, champion: Model, n_known: int) -> np.datetime64 | None:
        rows = self.stream.rows.part(slice(0, n_known)).labelled
        behind = np.flatnonzero(rows.times > champion.training_end)[-MOST_ERRORS:]
        newest = rows.part(behind)
        if not len(newest):
            return None
        output = champion.challenger.fitted.output(newest.x)
        return changed_at(self.stream.schema.task, newest, output)

    def train(self, key: TrainingKey) -> tuple[Model | str, float]:
        """The model that these rows train, or why they cannot."""
        return self.timed(("train", key), lambda: self._train(key))

    def _train(self, key: TrainingKey) -> Model | str:
        stream, problem = self.stream, self.problem
        rows = stream.rows.part(slice(0, key.n_known)).labelled
        end, changed = (
            None if time is None else np.datetime64(time, "us")
            for time in (key.champion_end, key.changed_at)
        )
        try:
            # No time counts here, or a busy machine would choose another model than a free one.
            made = train_challenger(
                rows,
                end,
                problem,
                stream.schema,
                elapsed=lambda: 0.0,
                with_graph=False,
                changed_at=changed,
                first=self._first(key),
                searched_rows=key.searched_rows,
            )
        except TrainingError as error:
            return str(error)
        reference = thin(made.training, problem.windows.reference_rows)
        kept = keep_references(reference, made.training, made.output, stream.schema, problem.drift)
        return Model(key, made, kept[INPUTS])

    def _first(self, key: TrainingKey) -> Candidate | None:
        if key.first is None:
            return None
        kind, parameters, window = json.loads(key.first)
        return warm_start(kind, parameters, window, self.problem.search)

    def output(self, model: Model, first: int, end: int) -> tuple[Floats, float]:
        """A model's answers to rows ``first`` to ``end``, [n, classes or 1]."""
        parts, seconds = list[Floats](), 0.0
        for chunk in range(first // CHUNK_ROWS, (end - 1) // CHUNK_ROWS + 1):
            begin = chunk * CHUNK_ROWS
            rows = self.stream.rows.x[begin : begin + CHUNK_ROWS]
            work = partial(model.challenger.fitted.output, rows)
            found, took = self.timed(("output", model.key, chunk), work)
            inside = found[max(0, first - begin) : end - begin]
            parts.append(inside)
            seconds += took * len(inside) / len(rows)
        return np.concatenate(parts), seconds

    def drift(self, model: Model, position: int) -> tuple[DriftResult, float]:
        """The check of the newest inputs behind a model's training window; features left out."""
        return self.timed(("drift", model.key, position), lambda: self._drift(model, position))

    def _drift(self, model: Model, position: int) -> DriftResult:
        rows, rules = self.stream.rows, self.problem
        behind = int(np.searchsorted(rows.times, model.training_end, "right"))
        first = max(behind, position - rules.windows.current_rows)
        current = rows.x[min(first, position) : position]
        found = check_drift(model.reference, current, self.stream.schema.features, rules.drift)
        return replace(found, features=(), groups=())
