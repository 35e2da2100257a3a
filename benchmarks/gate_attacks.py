"""Attacks on the labels: what clients send, a challenger fitted on it, and what the gate says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.gate_populations import Population
from learning.gate import Beside, Contest, judge
from learning.gate_rules import GateRules, TrustRules
from learning.metrics import roc_auc
from learning.models import Fitted, TrainingError, fit
from learning.onnx_export import Parity
from learning.problem import Windows
from learning.rows import Rows
from learning.trust import Expected, Labels, trust
from learning.windows import split_trusted

CHAMPION_ROWS = 1_000
NEW_ROWS = 2_000
TRUSTED_SHARE = 0.3
LINEAR = {"strength": 1.0}


@dataclass(frozen=True)
class Attack:
    """What is done to feedback labels; ``has_trusted``: 30% of the labels come by another way."""

    name: str
    has_trusted: bool
    flipped: float = 0.0
    is_slice: bool = False
    one_client: float = 0.0
    is_echo: bool = False
    is_drift: bool = False


ATTACKS = (
    *(
        Attack(f"{share:.0%} of the labels flipped", has_trusted, flipped=share)
        for has_trusted in (True, False)
        for share in (0.05, 0.1, 0.2, 0.4)
    ),
    Attack("one slice inverted", True, is_slice=True),
    Attack("one slice inverted", False, is_slice=True),
    Attack("one client sends 90%, all inverted", True, one_client=0.9),
    Attack("one client sends 90%, all inverted", False, one_client=0.9),
    Attack("echoed predictions", True, is_echo=True),
    Attack("echoed predictions", False, is_echo=True),
    Attack("none, but honest drift (control)", True, is_drift=True),
    Attack("none, but honest drift (control)", False, is_drift=True),
)


@dataclass(frozen=True)
class Attacked:
    """What became of it: ``true_gain`` on true labels nobody saw, nan without a challenger."""

    is_promoted: bool
    is_caught: bool
    true_gain: float


@dataclass(frozen=True)
class _World:
    """Rows in the order in which they come, and the truth about others of the same kind."""

    past: Rows
    new: Rows
    unseen: Rows


def attack(
    population: Population, one: Attack, seed: int, rules: GateRules, parity: Parity
) -> Attacked:
    """One stream under attack: train on it as the loop would, and judge."""
    rng = np.random.default_rng([seed, population.number, 7])
    world = _world(population, one, rng)
    champion = fit("linear", LINEAR, world.past, population.schema)
    labels = _labels(one, world.new, champion, rng)
    fresh = Rows(world.new.x, labels.y, world.new.times)
    expected = _expected(champion, fresh, labels, world.past)
    found = trust(labels, TrustRules(), fresh.times[-1], one.has_trusted, expected)
    is_caught = any(finding.n_rows for finding in found.findings)
    rows = _joined(world.past, fresh)
    n_past = len(world.past)
    trains = np.concatenate([np.ones(n_past, dtype=bool), found.trains])
    judges = np.concatenate([np.zeros(n_past, dtype=bool), found.judges])
    split = split_trusted(rows, trains, judges, None, Windows(), rules.min_rows)
    if not len(split.holdout):
        return Attacked(False, is_caught, float("nan"))
    try:
        # The loop's search weighs windows; here the newest rows stand for the one that adapts.
        training = split.training.part(slice(max(0, len(split.training) - NEW_ROWS), None))
        challenger = fit("linear", LINEAR, training, population.schema)
    except TrainingError:
        return Attacked(False, is_caught, float("nan"))
    contest = _contest(split.holdout, champion, challenger)
    verdict = judge(contest, parity, rules, Beside(), is_last=True)
    return Attacked(verdict.decision.go, is_caught, _true_gain(champion, challenger, world.unseen))


def _world(population: Population, one: Attack, rng: np.random.Generator) -> _World:
    rows = population.rows
    place = rng.integers(0, len(rows), CHAMPION_ROWS + 2 * NEW_ROWS)
    times = np.arange(len(place)).astype("datetime64[m]").astype("datetime64[us]")
    x, y = rows.x[place].copy(), rows.y[place].copy()
    if one.is_drift:  # the concept turns round for everybody
        y[CHAMPION_ROWS:] = 1 - y[CHAMPION_ROWS:]
    drawn = Rows(x, y, times)
    ends = CHAMPION_ROWS, CHAMPION_ROWS + NEW_ROWS
    parts = slice(0, ends[0]), slice(*ends), slice(ends[1], None)
    return _World(*(drawn.part(part) for part in parts))


def _labels(one: Attack, rows: Rows, champion: Fitted, rng: np.random.Generator) -> Labels:
    """The labels as they arrive: some trusted, the rest by clients, honest or not."""
    n_rows = len(rows)
    is_fed_back = rng.random(n_rows) >= (TRUSTED_SHARE if one.has_trusted else 0.0)
    said = (champion.output(rows.x)[:, 1] >= 0.5).astype(float)
    client = rng.integers(1, 4, n_rows)
    y = rows.y.copy()
    bad = is_fed_back & (rng.random(n_rows) < one.flipped)
    if one.is_slice:
        column = np.nan_to_num(rows.x[:, 0].astype(float))
        bad = is_fed_back & (column <= np.quantile(column, 0.3))
    if one.one_client:
        bad = is_fed_back & (rng.random(n_rows) < one.one_client)
        client[bad] = 0
    y[bad] = 1 - y[bad]
    if one.is_echo:
        y[is_fed_back] = said[is_fed_back]
    said = np.where(is_fed_back, said, np.nan)
    names = ("client 0", "client 1", "client 2", "client 3")
    return Labels("binary", y, rows.times, is_fed_back, client, said, names)


def _expected(champion: Fitted, fresh: Rows, labels: Labels, past: Rows) -> Expected:
    """As the loop finds it: on trusted rows, else on rows like the champion's holdout."""
    trusted = fresh.part(~labels.is_fed_back)
    rows = trusted if len(trusted) >= 50 else past
    said = champion.output(rows.x)[:, 1] >= 0.5
    is_trusted = len(trusted) >= 50
    n_rows = len(trusted) if is_trusted else 100
    return Expected(float((said == (rows.y > 0.5)).mean()), n_rows, is_trusted)


def _joined(one: Rows, other: Rows) -> Rows:
    return Rows(
        np.vstack([one.x, other.x]),
        np.concatenate([one.y, other.y]),
        np.concatenate([one.times, other.times]),
    )


def _contest(holdout: Rows, champion: Fitted, challenger: Fitted) -> Contest:
    return Contest(
        "binary",
        "roc_auc",
        holdout.y,
        challenger.output(holdout.x),
        champion.output(holdout.x),
        "the champion",
        is_rival_served=True,
    )


def _true_gain(champion: Fitted, challenger: Fitted, unseen: Rows) -> float:
    new, old = (roc_auc(unseen.y, one.output(unseen.x)[:, 1]) for one in (challenger, champion))
    return new - old
