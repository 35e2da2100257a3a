"""Attacks on the labels: what clients send, a challenger fitted on it, and what the gate says.

A stream draws its rows from a population with replacement, so that a model's ROC AUC on the whole
population *is* its true one: nothing of "truly worse" is left to chance.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from benchmarks.gate_populations import Population
from learning.exam import is_exam
from learning.gate import Beside, Check, Contest, Side, judge
from learning.gate_rules import GateRules, TrustRules
from learning.onnx_export import Parity
from learning.problem import Windows
from learning.reversals import find_reversal
from learning.rows import Floats, Rows
from learning.trust import Expected, Labels, trust
from learning.windows import split_trusted

CHAMPION_ROWS = 1_000
NEW_ROWS = 2_000
TRUSTED_SHARE = 0.3
RULES = GateRules()
PARITY = Parity(10_000, 0.0, 1e-4)


@dataclass(frozen=True)
class Attack:
    """What is done to feedback labels; ``has_trusted``: 30% of the labels come by another way."""

    name: str
    has_trusted: bool
    flipped: float = 0.0
    is_slice: bool = False
    one_client: float = 0.0
    echoing: tuple[int, ...] = ()
    is_drift: bool = False


ATTACKS = (
    *(
        Attack(f"{share:.0%} of the labels flipped", has_trusted, flipped=share)
        for has_trusted in (True, False)
        for share in (0.05, 0.1, 0.2, 0.4)
    ),
    Attack("one slice (30% of the rows) inverted", True, is_slice=True),
    Attack("one slice (30% of the rows) inverted", False, is_slice=True),
    Attack("one client sends 90%, all inverted", True, one_client=0.9),
    Attack("one client sends 90%, all inverted", False, one_client=0.9),
    Attack("echoed predictions, by all clients", True, echoing=(1, 2, 3)),
    Attack("echoed predictions, by all clients", False, echoing=(1, 2, 3)),
    Attack("echoed predictions, by one of three", True, echoing=(1,)),
    Attack("echoed predictions, by one of three", False, echoing=(1,)),
    Attack("none, but honest drift (control)", True, is_drift=True),
    Attack("none, but honest drift (control)", False, is_drift=True),
)


@dataclass(frozen=True)
class Attacked:
    """What became of it: ``true_gain`` on the population, nan without a challenger.

    ``bad_share`` is the share of attacked rows that were left out by name (nan without any),
    ``n_bad`` how many the challenger was trained or judged on. ``is_told``: the verdict says that
    the labels of a part contradict the champion.
    """

    is_promoted: bool
    true_gain: float
    bad_share: float
    n_bad: int
    is_told: bool = False


@dataclass(frozen=True)
class _World:
    """Places in the population in the order in which they come, and the model that is served.

    ``weights`` [columns] are the champion's, ``said`` [n] its answers to the new rows, ``right``
    how often it was right on the past ones.
    """

    past: np.ndarray
    new: np.ndarray
    weights: Floats
    said: Floats
    right: float


def attack(population: Population, one: Attack, seed: int) -> Attacked:
    """One stream under attack: trust, split, train and judge as the loop does."""
    world = _world(population, seed)
    labels, bad = _labels(one, population, world, np.random.default_rng([seed, 8]))
    found = trust(labels, TrustRules(), labels.times[-1], one.has_trusted, _expected(world, labels))
    caught = float((bad & ~found.trains).sum() / bad.sum()) if bad.any() else float("nan")
    place = np.concatenate([world.past, world.new])
    y = np.concatenate([population.y[world.past], labels.y])
    rows = Rows(place[:, None].astype(np.float32), y, _times(len(place)))
    is_past = np.arange(len(place)) < CHAMPION_ROWS
    trains, judges = (np.concatenate([is_past[is_past], m]) for m in (found.trains, found.judges))
    exam = is_exam(rows.times, RULES.backtest_share)
    end = rows.times[CHAMPION_ROWS - 1]
    split = split_trusted(rows, trains & ~exam, judges, end, Windows(), RULES.min_rows)
    training = split.training.part(split.training.times > end)
    if len(split.holdout) < RULES.min_rows or len(np.unique(training.y)) < 2:
        return Attacked(False, float("nan"), caught, 0)
    weights = _fitted(population, training)
    older = rows.part(judges & exam & (rows.times <= training.times[-1]))
    notes = () if one.has_trusted else _reversal(population, labels, found.judges, world)
    holdout = np.searchsorted(labels.times, split.holdout.times)
    beside = Beside(
        older=_contest(population, older, weights, world),
        baselines=(Side("the dummy", _output(np.full(len(holdout), training.y.mean()))),),
        senders=tuple(labels.senders(holdout)),
        notes=notes,
    )
    contest = _contest(population, split.holdout, weights, world)
    verdict = judge(contest, PARITY, RULES, beside, is_last=True)
    gain = _true_auc(population, weights, one) - _true_auc(population, world.weights, one)
    seen = np.isin(labels.times, np.concatenate([training.times, split.holdout.times]))
    n_bad = int((bad & (found.trains | found.judges) & seen).sum())
    return Attacked(verdict.decision.go, gain, caught, n_bad, bool(notes))


def _times(n: int) -> np.ndarray:
    return np.arange(n).astype("datetime64[m]").astype("datetime64[us]")


@functools.lru_cache(maxsize=2)
def _world(population: Population, seed: int) -> _World:
    rng = np.random.default_rng([seed, population.number, 7])
    place = rng.integers(0, len(population.rows), CHAMPION_ROWS + NEW_ROWS)
    past, new = place[:CHAMPION_ROWS], place[CHAMPION_ROWS:]
    kept = past[~is_exam(_times(CHAMPION_ROWS), RULES.backtest_share)]
    weights = fit_logistic(population.matrix[kept], population.y[kept])
    said = answers(population.matrix[place], weights)
    right = float(((said >= 0.5) == (population.y[place] > 0.5))[:CHAMPION_ROWS].mean())
    return _World(past, new, weights, said[CHAMPION_ROWS:], right)


def fit_logistic(x: Floats, y: Floats) -> Floats:
    """Weights [columns] of a logistic regression with ridge penalty 1, by Newton's method."""
    weights, ridge = np.zeros(x.shape[1]), np.eye(x.shape[1])
    for _ in range(12):
        p = answers(x, weights)
        slope = x.T @ (y - p) - weights
        curve = (x * (p * (1 - p))[:, None]).T @ x + ridge
        step = np.linalg.solve(curve, slope)
        weights += step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def answers(x: Floats, weights: Floats) -> Floats:
    """Probabilities [n] of the positive class."""
    return 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))


def _fitted(population: Population, rows: Rows) -> Floats:
    return fit_logistic(population.matrix[_places(rows)], rows.y)


def _places(rows: Rows) -> np.ndarray:
    """Rows hold nothing but their place in the population (exact in float32)."""
    return rows.x[:, 0].astype(np.intp)


def _labels(
    one: Attack, population: Population, world: _World, rng: np.random.Generator
) -> tuple[Labels, np.ndarray]:
    """The labels as they arrive, some trusted, the rest by clients; which of them are attacked."""
    n_rows, truth = len(world.new), population.y[world.new]
    is_fed_back = rng.random(n_rows) >= (TRUSTED_SHARE if one.has_trusted else 0.0)
    said = (world.said >= 0.5).astype(float)
    client = rng.integers(1, 4, n_rows)
    y = 1 - truth if one.is_drift else truth.copy()
    bad = is_fed_back & (rng.random(n_rows) < one.flipped)
    if one.is_slice:
        column = np.nan_to_num(population.rows.x[world.new, 0].astype(float))
        bad = is_fed_back & (column <= np.quantile(column, 0.3))
    if one.one_client:
        bad = is_fed_back & (rng.random(n_rows) < one.one_client)
        client[bad] = 0
    y[bad] = 1 - y[bad]
    if one.echoing:
        bad = is_fed_back & np.isin(client, one.echoing)
        y[bad] = said[bad]
    said = np.where(is_fed_back, said, np.nan)
    names = ("client 0", "client 1", "client 2", "client 3")
    times = _times(CHAMPION_ROWS + n_rows)[CHAMPION_ROWS:]
    return Labels("binary", y, times, is_fed_back, client, said, names), bad


def _expected(world: _World, labels: Labels) -> Expected:
    """As the loop finds it: on trusted rows, else what the champion had on its own."""
    rows = ~labels.is_fed_back
    if not rows.any():
        return Expected(world.right, 100, False)
    right = (world.said >= 0.5)[rows] == (labels.y[rows] > 0.5)
    return Expected(float(right.mean()), int(rows.sum()), True)


def _reversal(
    population: Population, labels: Labels, judges: np.ndarray, world: _World
) -> tuple[Check, ...]:
    x, features = population.rows.x[world.new[judges]], population.schema.features
    found = find_reversal(x, labels.y[judges], world.said[judges], features)
    return () if found is None else (Check("reversal", "pass", found.auc, 0.5, found.where),)


def _contest(population: Population, rows: Rows, weights: Floats, world: _World) -> Contest:
    x = population.matrix[_places(rows)]
    new, old = _output(answers(x, weights)), _output(answers(x, world.weights))
    return Contest(
        "binary", "roc_auc", rows.y, new, old, rival_name="the champion", is_rival_served=True
    )


def _output(positive: Floats) -> Floats:
    return np.column_stack([1 - positive, positive])


def _true_auc(population: Population, weights: Floats, one: Attack) -> float:
    """Where the concept turned round for everybody, so did what is right."""
    auc = population.auc(population.matrix @ weights)
    return 1 - auc if one.is_drift else auc
