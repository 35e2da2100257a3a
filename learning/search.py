"""Which model, with which settings, on which window: successive halving over time-ordered folds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.metrics import LOWER_IS_BETTER, metric_function
from learning.models import GRIDS, HALF_LIFE, TrainingError, fit, is_installed
from learning.problem import SearchRules
from learning.rows import Rows, Schema
from learning.windows import FADING, FADING_HALF_LIFE, take_window, window_size

# Each round: how many of the ranking enter it, folds, and the most rows that a fit may use.
ROUNDS = ((100, 1, 2_000), (3, 2, 10_000), (3, 3, 30_000))
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
) -> list[Candidate]:
    """Each kind with its first settings on each window; windows with the same rows count once.

    Kinds that are not installed are left out. ``first`` stands before all others.
    """
    sizes: dict[tuple[int, bool], str] = {}
    for window in rules.windows:
        size = window_size(rows, window, changed_at)
        if size is not None:
            sizes.setdefault((size, window == FADING), window)
    kinds = [kind for kind in rules.models if is_installed(kind)]
    found = [
        Candidate(kind, {**GRIDS[kind][0], **_of_window(window)}, window)
        for kind, window in itertools.product(kinds, sizes.values())
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
    if kind not in rules.models or window not in rules.windows or not is_installed(kind):
        return None
    known = {*GRIDS[kind][0], *BALANCED, *_of_window(window)}
    return Candidate(kind, {name: v for name, v in parameters.items() if name in known}, window)


def neighbours(
    best: Candidate, first: Candidate | None = None, has_rare_class: bool = False
) -> list[Candidate]:
    """The winner with each of its kind's settings, itself first.

    ``first`` adds its settings where it is of that kind, ``has_rare_class`` the winner's with
    more weight on it.
    """
    settings = list(GRIDS[best.kind])
    if first is not None and first.kind == best.kind:
        settings.append({n: v for n, v in first.parameters.items() if n != HALF_LIFE})
    if has_rare_class:
        settings.append({**best.parameters, **BALANCED})
    found = [best]
    for one in settings:
        candidate = Candidate(best.kind, {**one, **_of_window(best.window)}, best.window)
        if candidate not in found:
            found.append(candidate)
    return found


def _of_window(window: str) -> dict[str, Any]:
    return {HALF_LIFE: FADING_HALF_LIFE} if window == FADING else {}


@dataclass(frozen=True)
class Contestants:
    """What a search works on: labelled rows in time order, judged in blocks of ``block_rows``.

    Where the champion's errors ``changed_at`` a time, no block but the newest lies before it.
    ``first`` is the champion's candidate, which is tried before all others.
    """

    rows: Rows
    schema: Schema
    rules: SearchRules
    metric: str
    block_rows: int
    changed_at: np.datetime64 | None = None
    first: Candidate | None = None

    @property
    def has_rare_class(self) -> bool:
        """Whether some class has so few rows that weighing them more may help."""
        if self.schema.task == "regression" or not len(self.rows):
            return False
        _, counts = np.unique(self.rows.y, return_counts=True)
        return bool(counts.min() < RARE_SHARE * len(self.rows))

    def entrants(self, ranking: list[Candidate], number: int) -> list[Candidate]:
        """Who enters a round of the search."""
        if number == len(ROUNDS) - 1:
            return neighbours(ranking[0], self.first, self.has_rare_class)
        return ranking[: ROUNDS[number][0]]


def search(
    field_of: Contestants,
    elapsed: Callable[[], float],
    on_trial: Callable[[Trial], None] = lambda _trial: None,
) -> SearchResult:
    """Find the candidate that predicts newer blocks best when fitted on the rows before them.

    Kinds and windows are compared first, on few rows; the best of them on more; then the
    winner's settings, on most.
    ``elapsed`` gives the seconds since the search began; after ``budget_seconds`` no further
    trial starts and the best so far wins. Raises TrainingError when nothing could be fitted.
    """
    ranking = candidates(field_of.rules, field_of.rows, field_of.changed_at, field_of.first)
    if not ranking:
        raise TrainingError(f"none of {', '.join(field_of.rules.models)} is installed here")
    trials = list[Trial]()
    for number, (_, folds, most_rows) in enumerate(ROUNDS):
        folds = min(folds, field_of.rules.folds)
        entrants = field_of.entrants(ranking, number)
        scored = list[Trial]()
        for candidate in entrants:
            if (trials or scored) and elapsed() > field_of.rules.budget_seconds:
                break
            score, n_rows = _score(candidate, field_of, folds, most_rows)
            scored.append(Trial(candidate, number, score, n_rows))
            on_trial(scored[-1])
        known = [trial for trial in scored if not math.isnan(trial.score)]
        trials.extend(known)
        if known:
            ranking = _ranked(known, field_of.metric)
        if len(scored) < len(entrants):
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


def _score(
    candidate: Candidate, field_of: Contestants, folds: int, most_rows: int
) -> tuple[float, int]:
    rows, size = field_of.rows, field_of.block_rows
    function = metric_function(field_of.schema.task, field_of.metric)
    scores, n_rows = list[float](), 0
    for fold in range(folds):
        end = len(rows) - fold * size
        before, block = rows.part(slice(0, end - size)), rows.part(slice(end - size, end))
        is_old = field_of.changed_at is not None and block.times[0] < field_of.changed_at
        if len(before) < size or (fold and is_old):
            break
        window = thin(take_window(before, candidate.window, field_of.changed_at), most_rows)
        try:
            fitted = fit(
                candidate.kind, candidate.parameters, window, field_of.schema, field_of.rules.seed
            )
        except TrainingError:
            continue
        scores.append(function(block.y, fitted.output(block.x)))
        n_rows = max(n_rows, len(window))
    known = [score for score in scores if not math.isnan(score)]
    return (float(np.mean(known)) if known else math.nan), n_rows


def thin(rows: Rows, most_rows: int) -> Rows:
    """At most so many rows, evenly spaced in time, the newest included."""
    return rows if len(rows) <= most_rows else rows.part(thin_places(len(rows), most_rows))


def thin_places(n_rows: int, most_rows: int) -> NDArray[np.intp]:
    """Indexes of at most so many of the rows, evenly spaced, the last included."""
    if n_rows <= most_rows:
        return np.arange(n_rows)
    return np.linspace(0, n_rows - 1, most_rows).round().astype(np.intp)
