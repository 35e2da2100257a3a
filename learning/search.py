"""Which model, with which settings, on which window: successive halving over time-ordered folds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.metrics import LOWER_IS_BETTER, metric_function
from learning.models import (
    GRIDS,
    HALF_LIFE,
    TrainingError,
    fit,
    lighter,
    rows_for,
    usable,
)
from learning.problem import SearchRules
from learning.rows import Rows, Schema
from learning.windows import FADING, FADING_HALF_LIFE, take_window, window_size


@dataclass(frozen=True)
class Round:
    """How many folds score a candidate, on how many rows each, and whether on fewer trees."""

    folds: int
    most_rows: int
    is_light: bool = False


# The first compares everything, the second `N_FINALISTS`, the last the winner's settings.
ROUNDS = (Round(1, 2_000, is_light=True), Round(2, 5_000, is_light=True), Round(3, 20_000))
N_FINALISTS = 3
# Kinds that are fitted in a hundredth of a second.
CHEAP = ("linear",)
# A class with a smaller share of the rows is also tried with more weight.
RARE_SHARE = 0.2
BALANCED = {"class_weight": "balanced"}


@dataclass(frozen=True)
class Candidate:
    """A kind of model, its settings and the window it would be fitted on."""

    kind: str
    parameters: dict[str, Any] = field(hash=False)
    window: str

    @property
    def name(self) -> str:
        """Readable identity: ``boosting(max_iter=100) on recent``."""
        settings = ", ".join(f"{key}={value}" for key, value in self.parameters.items())
        return f"{self.kind}({settings}) on {self.window}"


@dataclass(frozen=True)
class Trial:
    """One candidate's score (metric on unseen newer blocks) in one round of the search.

    ``n_rows`` is the most that one of its fits was given.
    """

    candidate: Candidate
    round: int
    score: float
    n_rows: int


@dataclass(frozen=True)
class SearchResult:
    """The winner and all trials, in the order in which they ran."""

    best: Candidate
    trials: tuple[Trial, ...]


def candidates(
    rules: SearchRules,
    rows: Rows,
    changed_at: np.datetime64 | None = None,
    first: Candidate | None = None,
    is_refit: bool = False,
) -> list[Candidate]:
    """Each kind with its first settings on each window; windows with the same rows count once.

    ``first`` stands before all others; where it is only fitted again, there are no others but it on
    each window, and what costs next to nothing.
    """
    sizes: dict[tuple[int, bool], str] = {}
    for window in rules.windows:
        size = window_size(rows, window, changed_at)
        if size is not None:
            sizes.setdefault((size, window == FADING), window)
    kinds: list[tuple[str, dict[str, Any]]] = [
        (kind, GRIDS[kind][0]) for kind in usable(rules.models)
    ]
    if is_refit and first is not None:
        cheap = [one for one in kinds if one[0] in CHEAP and one[0] != first.kind]
        kinds = [(first.kind, first.parameters), *cheap]
    found = [
        Candidate(kind, {**_timeless(settings), **_of_window(window)}, window)
        for (kind, settings), window in itertools.product(kinds, sizes.values())
    ]
    if first is None or window_size(rows, first.window, changed_at) is None:
        return found
    return [first, *(candidate for candidate in found if candidate != first)]


def warm_start(
    kind: str, parameters: Mapping[str, Any], window: str, rules: SearchRules
) -> Candidate | None:
    """The candidate that a champion once was; None where the rules no longer allow it.

    How its answers were calibrated is left behind: new rows decide that anew.
    """
    if kind not in usable(rules.models) or window not in rules.windows:
        return None
    known = {*GRIDS[kind][0], *BALANCED, *_of_window(window)}
    return Candidate(kind, {name: v for name, v in parameters.items() if name in known}, window)


def neighbours(
    best: Candidate, n_rows: int, first: Candidate | None = None, has_rare_class: bool = False
) -> list[Candidate]:
    """The winner with each of its kind's settings that ``n_rows`` are enough for, itself first.

    ``first`` adds its settings where it is of that kind, ``has_rare_class`` the winner's with
    more weight on it.
    """
    settings = [one for one in GRIDS[best.kind] if n_rows >= rows_for(one)]
    if first is not None and first.kind == best.kind:
        settings.append(_timeless(first.parameters))
    if has_rare_class:
        settings.append({**best.parameters, **BALANCED})
    found = [best]
    for one in settings:
        candidate = Candidate(best.kind, {**one, **_of_window(best.window)}, best.window)
        if candidate not in found:
            found.append(candidate)
    return found


def finalists(ranking: list[Candidate]) -> list[Candidate]:
    """The best, the best of another kind, and the next best of any.

    Few rows and few trees tell windows apart better than kinds, so that a second kind stays in.
    """
    other = [one for one in ranking if one.kind != ranking[0].kind][:1]
    rest = [one for one in ranking[1:] if one not in other]
    return [ranking[0], *other, *rest][:N_FINALISTS]


def _timeless(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name != HALF_LIFE}


def _of_window(window: str) -> dict[str, Any]:
    return {HALF_LIFE: FADING_HALF_LIFE} if window == FADING else {}


@dataclass(frozen=True)
class Contestants:
    """What a search works on: labelled rows in time order, judged in blocks of ``block_rows``.

    Where the champion's errors ``changed_at`` a time, no block but the newest lies before it.
    ``first`` is the champion's candidate, which is tried before all others; ``is_refit``: of other
    kinds and settings only the cheap ones are, and the window is chosen anew.
    """

    rows: Rows
    schema: Schema
    rules: SearchRules
    metric: str
    block_rows: int
    changed_at: np.datetime64 | None = None
    first: Candidate | None = None
    is_refit: bool = False

    @property
    def has_rare_class(self) -> bool:
        """Whether some class has so few rows that weighing them more may help."""
        if self.schema.task == "regression" or not len(self.rows):
            return False
        _, counts = np.unique(self.rows.y, return_counts=True)
        return bool(counts.min() < RARE_SHARE * len(self.rows))

    def candidates(self) -> list[Candidate]:
        """Who enters the first round."""
        return candidates(self.rules, self.rows, self.changed_at, self.first, self.is_refit)

    def entrants(self, ranking: list[Candidate], number: int) -> list[Candidate]:
        """Who enters a round of the search."""
        if number == 0:
            return ranking
        if number < len(ROUNDS) - 1:
            return finalists(ranking)
        return neighbours(ranking[0], len(self.rows), self.first, self.has_rare_class)


def search(
    field_of: Contestants,
    elapsed: Callable[[], float],
    on_trial: Callable[[Trial], None] = lambda _trial: None,
) -> SearchResult:
    """Find the candidate that predicts newer blocks best when fitted on the rows before them.

    Kinds and windows are compared first, on few rows and trees; the best of them on more; then
    the winner's settings, on most. What a round asks again of an earlier one is not fitted anew.
    ``elapsed`` gives the seconds since the search began; after ``budget_seconds`` no further
    trial starts and the best so far wins. Raises TrainingError when nothing could be fitted.
    """
    rules, folds = field_of.rules, _Folds(field_of)
    ranking = field_of.candidates()
    trials = list[Trial]()
    for number, of in enumerate(ROUNDS):
        entrants = field_of.entrants(ranking, number)
        scored = list[Trial]()
        for candidate in entrants:
            if (trials or scored) and elapsed() > rules.budget_seconds:
                break
            scored.append(Trial(candidate, number, *folds.score(candidate, of)))
            on_trial(scored[-1])
        known = [trial for trial in scored if not math.isnan(trial.score)]
        trials.extend(known)
        if known:
            ranking = _ranked(known, field_of.metric)
        if len(scored) < len(entrants) or (field_of.is_refit and known):
            break
    if not trials:
        raise TrainingError(
            f"no candidate got a {field_of.metric} on {len(field_of.rows)} rows: each newer block, "
            "or all rows before it, had one class only, or the task has no such metric"
        )
    return SearchResult(ranking[0], tuple(trials))


def _ranked(trials: list[Trial], metric: str) -> list[Candidate]:
    sign = 1 if metric in LOWER_IS_BETTER else -1
    return [trial.candidate for trial in sorted(trials, key=lambda trial: sign * trial.score)]


class _Folds:
    """Scores candidates on blocks of time, the newest first, and remembers each score."""

    def __init__(self, field_of: Contestants) -> None:
        self._field_of = field_of
        self._known: dict[tuple[str, int, int], float] = {}

    def score(self, candidate: Candidate, of: Round) -> tuple[float, int]:
        """The mean of the metric over the folds of a round, and the most rows of a fit."""
        scores, n_rows = list[float](), 0
        for fold in range(min(of.folds, self._field_of.rules.folds)):
            found = self._split(fold)
            if found is None:
                break
            before, block = found
            window = take_window(before, candidate.window, self._field_of.changed_at)
            # All windows alike, or a short one would look as rich as a long one.
            times = max(1.0, len(before) / of.most_rows)
            window = thin(window, round(len(window) / times))
            light = lighter(candidate.kind, candidate.parameters)
            tried = replace(candidate, parameters=light) if of.is_light else candidate
            key = (tried.name, fold, len(window))
            if key not in self._known:
                self._known[key] = self._fit_and_score(tried, window, block)
            scores.append(self._known[key])
            n_rows = max(n_rows, len(window))
        known = [score for score in scores if not math.isnan(score)]
        return (float(np.mean(known)), n_rows) if known else (math.nan, 0)

    def _split(self, fold: int) -> tuple[Rows, Rows] | None:
        """The rows before a block, and the block; None where it is too old to tell anything."""
        rows, size = self._field_of.rows, self._field_of.block_rows
        changed_at, end = self._field_of.changed_at, len(rows) - fold * size
        before, block = rows.part(slice(0, end - size)), rows.part(slice(end - size, end))
        is_old = changed_at is not None and len(block) > 0 and block.times[0] < changed_at
        return None if len(before) < size or (fold and is_old) else (before, block)

    def _fit_and_score(self, tried: Candidate, window: Rows, block: Rows) -> float:
        schema, metric = self._field_of.schema, self._field_of.metric
        try:
            fitted = fit(
                tried.kind,
                tried.parameters,
                window,
                schema,
                self._field_of.rules.seed,
                is_settled=False,
            )
        except TrainingError:
            return math.nan
        return metric_function(schema.task, metric)(block.y, fitted.output(block.x))


def thin(rows: Rows, most_rows: int) -> Rows:
    """At most so many rows, evenly spaced in time, the newest included."""
    return rows if len(rows) <= most_rows else rows.part(thin_places(len(rows), most_rows))


def thin_places(n_rows: int, most_rows: int) -> NDArray[np.intp]:
    """Indexes of at most so many of the rows, evenly spaced, the last included."""
    if n_rows <= most_rows:
        return np.arange(n_rows)
    return np.linspace(0, n_rows - 1, most_rows).round().astype(np.intp)
