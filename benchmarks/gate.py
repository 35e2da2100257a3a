"""How often the gate promotes what is better, equal and worse, and what attacks get past it.

    python -m benchmarks.gate [--seeds 12] [--attack-seeds 40] [--full]

Two models are fitted once on the first part of each data set and score the rest: its population.
A challenger that is better, equal or worse by an exact amount is the champion's score mixed with
noise of its own. A stream draws from the population with replacement, so that the true difference
is known, and is judged by `learning.gate.judge` look by look as the loop does, until it is
promoted or refused. Attacks fit a cheap linear challenger on poisoned rows in each seed.
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

from benchmarks.gate_attacks import ATTACKS, Attacked, attack
from benchmarks.gate_populations import Population, populations
from learning.gate import Contest, Verdict, judge
from learning.onnx_export import Parity
from learning.problem import GateRules

RESULTS = Path(__file__).parent / "results"
PARITY = Parity(10_000, 0.0, 1e-4)
RULES = GateRules()
FIRST_ROWS = 2_000
N_SIDES = 5


@dataclass(frozen=True)
class Kind:
    """A challenger whose true gain is this many margins, and what must hold of it."""

    name: str
    margins: float
    at_least: float | None = None
    at_most: float | None = None


KINDS = (
    Kind("better by twice the margin", 2.0, at_least=0.95),
    Kind("equal", 0.0, at_most=0.05),
    Kind("worse by the margin", -1.0, at_most=0.005),
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
    table = []
    for kind in KINDS:
        verdicts = [
            (population.name, *trial(population, kind, seed))
            for population in found
            for seed in range(n_seeds)
        ]
        promoted = [verdict.outcome == "promote" for _, verdict, _ in verdicts]
        share = float(np.mean(promoted))
        table.append(
            {
                "challenger": kind.name,
                "trials": len(promoted),
                "promoted": share,
                "required": _required(kind),
                "holds": _holds(kind, share),
                "median_rows": float(np.median([rows for *_, rows in verdicts])),
                "by_data": {
                    population.name: float(
                        np.mean(
                            [v.outcome == "promote" for n, v, _ in verdicts if n == population.name]
                        )
                    )
                    for population in found
                },
            }
        )
    return table


def _required(kind: Kind) -> str:
    return f"≥ {kind.at_least:.1%}" if kind.at_least is not None else f"≤ {kind.at_most:.1%}"


def _holds(kind: Kind, share: float) -> bool:
    if kind.at_least is not None:
        return share >= kind.at_least
    return kind.at_most is None or share <= kind.at_most


def measure_attacks(found: list[Population], n_seeds: int) -> list[dict[str, Any]]:
    """What became of challengers that were fitted on attacked rows."""
    table = []
    for one in ATTACKS:
        results: list[Attacked] = [
            attack(found[seed % len(found)], one, seed, RULES, PARITY) for seed in range(n_seeds)
        ]
        worse = [result for result in results if result.true_gain < -RULES.margin]
        table.append(
            {
                **asdict(one),
                "trials": len(results),
                "promoted": float(np.mean([r.is_promoted for r in results])),
                "worse_promoted": sum(result.is_promoted for result in worse),
                "truly_worse": len(worse),
                "caught": float(np.mean([r.is_caught for r in results])),
                "median_true_gain": float(np.nanmedian([r.true_gain for r in results])),
            }
        )
    return table


def as_text(result: dict[str, Any]) -> str:
    """The tables as Markdown."""
    lines = [
        f"{len(result['data'])} populations ({', '.join(result['data'])}), ROC AUC, margin "
        f"{RULES.margin:g}; {result['seconds']:.0f} s.",
        "",
        "| challenger is truly | trials | promoted | required | holds | rows judged, median |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["kinds"]:
        lines.append(
            f"| {row['challenger']} | {row['trials']} | {row['promoted']:.2%} | {row['required']} "
            f"| {'yes' if row['holds'] else '**no**'} | {row['median_rows']:,.0f} |"
        )
    lines += [
        "",
        "Labels from `/feedback`, a linear challenger fitted on them; *worse* is by more than the "
        "margin on the true labels. *Caught*: rows were left out by name.",
        "",
        "| attack | labels also come from elsewhere | trials | worse challengers | worse promoted "
        "| promoted | caught | true gain, median |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["attacks"]:
        lines.append(
            f"| {row['name']} | {'yes' if row['has_trusted'] else 'no'} | {row['trials']} "
            f"| {row['truly_worse']} | {row['worse_promoted']} | {row['promoted']:.1%} "
            f"| {row['caught']:.1%} | {row['median_true_gain']:+.4f} |"
        )
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None, say: Callable[[str], None] = print) -> None:
    """Measure, and write ``results/gate.json`` and ``results/gate.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=12, help="of each kind on each data set")
    parser.add_argument("--attack-seeds", type=int, default=40, help="of each attack")
    parser.add_argument("--full", action="store_true", help="300 seeds and 1,000 of each attack")
    given = parser.parse_args(argv)
    n_seeds, n_attacks = (300, 1_000) if given.full else (given.seeds, given.attack_seeds)
    began = time.monotonic()
    found = populations()
    result: dict[str, Any] = {
        "data": [population.name for population in found],
        "margin": RULES.margin,
        "kinds": measure_kinds(found, n_seeds),
        "attacks": measure_attacks(found, n_attacks),
    }
    result["seconds"] = time.monotonic() - began
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "gate.json").write_text(json.dumps(result, indent=1) + "\n")
    text = as_text(result)
    (RESULTS / "gate.md").write_text(text)
    say(text)


if __name__ == "__main__":
    main()
