"""How often the gate promotes what is better, equal and worse, and what attacks get past it.

    python -m benchmarks.gate [--seeds 50] [--attack-seeds 200] [--minutes 4] [--full]

Two models are fitted once on the first part of each data set and score the rest: its population.
A challenger that is better, equal or worse by an exact amount is the champion's score mixed with
noise of its own. A stream draws from the population with replacement, so that the true difference
is known, and is judged by `learning.gate.judge` look by look as the loop does, until it is
promoted or refused. Attacks fit a logistic regression on the rows since the champion's in each
seed; what it is truly worth is its ROC AUC on the whole population. When the minutes are over,
the seeds that are done are what is told.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.gate_attacks import ATTACKS, PARITY, RULES, Attack, Attacked, attack
from benchmarks.gate_populations import Population, populations
from benchmarks.gate_table import as_text, bounds
from learning.gate import Contest, Verdict, judge

RESULTS = Path(__file__).parent / "results"
FIRST_ROWS = 2_000
N_SIDES = 10
ECHO_AT_MOST, CONTROL_AT_LEAST = 0.01, 0.95


@dataclass(frozen=True)
class Kind:
    """A challenger whose true gain is this many margins, and what must hold of it.

    The smaller the share that is to be shown, the more ``times`` the seeds it takes.
    """

    name: str
    margins: float
    at_least: float | None = None
    at_most: float | None = None
    times: int = 1


KINDS = (
    Kind("better by twice the margin", 2.0, at_least=0.95),
    Kind("equal", 0.0, at_most=0.05),
    Kind("worse by the margin", -1.0, at_most=0.005, times=2),
)


def mixed(population: Population, target: float, rng: np.random.Generator) -> np.ndarray:
    """Scores whose ROC AUC on the population is ``target``: the model's ranks with noise."""
    noise = rng.normal(size=len(population.y))
    low, high = 0.0, 20.0
    for _ in range(16):
        middle = (low + high) / 2
        if population.auc(population.rank + middle * noise) > target:
            low = middle
        else:
            high = middle
    return population.rank + low * noise


@functools.cache
def sides(population: Population, kind: Kind, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a champion and of a challenger that differs by what its kind says."""
    rng = np.random.default_rng([number, population.number, 1])
    start = population.auc(population.rank) - 0.02 - max(0.0, kind.margins) * RULES.margin
    old = mixed(population, start, rng)
    return old, mixed(population, start + kind.margins * RULES.margin, rng)


def trial(population: Population, kind: Kind, seed: int) -> tuple[Verdict, int]:
    """One challenger from its first look to its last; the verdict and the rows it took."""
    rng = np.random.default_rng([seed, population.number])
    old, new = sides(population, kind, seed % N_SIDES)
    n_rows, look = FIRST_ROWS, 1
    index = rng.integers(0, len(population.y), RULES.most_rows)
    while True:
        rows = index[:n_rows]
        contest = Contest(
            "binary", "roc_auc", population.y[rows], _output(new[rows]), _output(old[rows]),
            "the champion", is_rival_served=True,
        )  # fmt: skip
        # Noise has no probabilities: calibration is asked of fitted models, in the attacks.
        rules = RULES.model_copy(update={"max_miscalibration": 1.0})
        is_last = look >= RULES.looks
        verdict = judge(contest, PARITY, rules, look=look, is_last=is_last)
        if verdict.outcome != "inconclusive":
            return verdict, n_rows
        look, n_rows = look + 1, min(RULES.most_rows, int(n_rows * 2.2))


def _output(score: np.ndarray) -> np.ndarray:
    positive = 1 / (1 + np.exp(-score))
    return np.column_stack([1 - positive, positive])


def measure_kinds(found: list[Population], n_seeds: int) -> list[dict[str, Any]]:
    """Share of promotions of each kind of challenger, over all populations."""
    return [_kind_row(kind, found, n_seeds) for kind in KINDS]


def _kind_row(kind: Kind, found: list[Population], n_seeds: int) -> dict[str, Any]:
    promoted, n_rows = list[bool](), list[int]()
    by_data = dict[str, float]()
    for population in found:
        ended = [trial(population, kind, seed) for seed in range(kind.times * n_seeds)]
        said = [verdict.outcome == "promote" for verdict, _ in ended]
        promoted += said
        n_rows += [rows for _, rows in ended]
        by_data[population.name] = float(np.mean(said))
    low, high = bounds(sum(promoted), len(promoted))
    return {
        "challenger": kind.name,
        "trials": len(promoted),
        "promoted": float(np.mean(promoted)),
        "low": low,
        "high": high,
        "required": f"≥ {kind.at_least:.1%}" if kind.at_least else f"≤ {kind.at_most:.1%}",
        "holds": low >= kind.at_least if kind.at_least else high <= (kind.at_most or 0.0),
        "median_rows": float(np.median(n_rows)),
        "by_data": by_data,
    }


def measure_attacks(
    found: list[Population], n_seeds: int, is_over: Callable[[], bool]
) -> list[dict[str, Any]]:
    """What became of challengers that were fitted on attacked rows."""
    results: dict[Attack, list[Attacked]] = {one: [] for one in ATTACKS}
    for seed in range(n_seeds):
        if seed and is_over():
            break
        for one in ATTACKS:
            results[one].append(attack(found[seed % len(found)], one, seed))
    return [_attack_row(one, ended) for one, ended in results.items()]


def _attack_row(one: Attack, ended: list[Attacked]) -> dict[str, Any]:
    worse = [result for result in ended if result.true_gain < -RULES.margin]
    n_worse = sum(result.is_promoted for result in worse)
    gains = [result.true_gain for result in ended if not np.isnan(result.true_gain)]
    row = {
        **asdict(one),
        "trials": len(ended),
        "truly_worse": len(worse),
        "worse_promoted": n_worse,
        "worse_promoted_high": bounds(n_worse, len(ended))[1],
        "promoted": float(np.mean([result.is_promoted for result in ended])),
        "promoted_on_attacked_rows": float(
            np.mean([result.is_promoted and result.n_bad > 0 for result in ended])
        ),
        "left_out": None
        if np.isnan(ended[0].bad_share)
        else float(np.mean([result.bad_share for result in ended])),
        # With `trust.reversals: hold` what is told of waits for a person.
        "worse_promoted_if_held": sum(r.is_promoted and not r.is_told for r in worse),
        "promoted_if_held": float(np.mean([r.is_promoted and not r.is_told for r in ended])),
        "told": float(np.mean([result.is_told for result in ended])),
        "without_challenger": len(ended) - len(gains),
        "median_true_gain": float(np.median(gains)) if gains else None,
    }
    return row | _asked(one, row)


def _asked(one: Attack, row: dict[str, Any]) -> dict[str, Any]:
    if one.echoing:
        holds = row["promoted_on_attacked_rows"] <= ECHO_AT_MOST
        return {"required": "≤ 1% on attacked rows", "holds": holds}
    if one.is_drift:
        return {"required": "≥ 95% promoted", "holds": row["promoted"] >= CONTROL_AT_LEAST}
    if 0 < one.flipped <= 0.2:
        return {"required": "0 worse promoted", "holds": row["worse_promoted"] == 0}
    return {"required": None, "holds": None}


def main(argv: list[str] | None = None, say: Callable[[str], None] = print) -> None:
    """Measure, and write ``results/gate.json`` and ``results/gate.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="of each kind on each data set")
    parser.add_argument("--attack-seeds", type=int, default=200, help="of each attack")
    parser.add_argument("--minutes", type=float, default=4, help="after which no seed begins")
    parser.add_argument("--full", action="store_true", help="200 seeds, 1,000 of each attack")
    given = parser.parse_args(argv)
    n_seeds, n_attacks = (200, 1_000) if given.full else (given.seeds, given.attack_seeds)
    threadpool_limits(1)  # threads that wait for each other are no work
    began, cpu = time.monotonic(), time.process_time()
    found = populations()

    def is_over() -> bool:
        return not given.full and time.monotonic() - began > 60 * given.minutes

    result: dict[str, Any] = {
        "data": [population.name for population in found],
        "margin": RULES.margin,
        "kinds": measure_kinds(found, n_seeds),
        "attacks": measure_attacks(found, n_attacks, is_over),
    }
    result["seconds"] = time.monotonic() - began
    result["cpu_seconds"] = time.process_time() - cpu
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "gate.json").write_text(json.dumps(result, indent=1) + "\n")
    text = as_text(result)
    (RESULTS / "gate.md").write_text(text)
    say(text)


if __name__ == "__main__":
    main()
