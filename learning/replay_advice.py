"""What a replay recommends: one sentence, and what to set in the problem file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from learning.error_rate import Z_95
from learning.metrics import gain
from learning.problem import Costs, Problem
from learning.replay_policies import find_policy
from learning.replay_result import PolicyResult

FEWEST_STRETCHES = 5


@dataclass(frozen=True)
class Advice:
    """The policy to use, why, and the keys of the ``retrain`` section that make it so."""

    policy: str | None
    sentence: str
    settings: dict[str, Any]


def advise(results: Sequence[PolicyResult], problem: Problem, metric: str) -> Advice:
    """The best policy; of those that are not worse than it beyond chance, the cheapest.

    Cheapest by expected cost where the problem prices errors apart from each other, trainings or
    alarms, else by retrains.
    """
    policies = [one for one in results if one.is_policy and not math.isnan(one.metric)]
    if not policies:
        return Advice(None, f"No policy has a {metric} to compare.", {})
    best = min(policies, key=lambda one: one.regret)
    equals = [one for one in policies if not _is_worse(one, best, metric)]
    chosen = min(equals, key=lambda one: _price(one, problem.costs))
    sentence = _sentence(chosen, best, policies, metric) + _warning(results, chosen, metric)
    settings = settings_of(chosen.name, problem)
    return Advice(chosen.name, sentence, settings)


def settings_of(name: str, problem: Problem) -> dict[str, Any]:
    """The keys of the ``retrain`` section in which a policy differs from the problem's."""
    policy = find_policy(name, problem)
    retrain = policy.of(problem).retrain
    return {
        key: getattr(retrain, key)
        for key in policy.changes
        if getattr(retrain, key) != getattr(problem.retrain, key)
    }


def _is_worse(one: PolicyResult, best: PolicyResult, metric: str) -> bool:
    """Whether a policy is behind the best beyond chance, by its stretches of the stream."""
    if one is best:
        return False
    pairs = zip(one.curve, best.curve, strict=True)
    behind = [
        gain(metric, b.value, a.value)
        for a, b in pairs
        if a.value is not None and b.value is not None
    ]
    if len(behind) < FEWEST_STRETCHES or not any(behind):
        return one.regret > best.regret
    error = float(np.std(behind, ddof=1)) / math.sqrt(len(behind))
    return float(np.mean(behind)) > Z_95 * error


def _price(one: PolicyResult, costs: Costs) -> tuple[float, float, float]:
    is_priced = costs.retrain or costs.alarm or costs.false_positive != costs.false_negative
    cost = one.cost if one.cost is not None and is_priced else 0.0
    return cost, float(one.retrains), one.regret


def _sentence(
    chosen: PolicyResult, best: PolicyResult, policies: Sequence[PolicyResult], metric: str
) -> str:
    others = [one for one in policies if one is not chosen]
    text = f"Use {chosen.name}: {metric} {chosen.metric:.4f} with {_times(chosen.retrains)}"
    if chosen is not best:
        text += f", not worse beyond chance than {best.name} ({best.metric:.4f}"
        text += f" with {_times(best.retrains)})"
    elif others:
        second = min(others, key=lambda one: one.regret)
        text += f", ahead of {second.name} ({second.metric:.4f} with {_times(second.retrains)})"
    return text + "."


def _times(n: int) -> str:
    return f"{n} retrain{'s' * (n != 1)}"


def _warning(results: Sequence[PolicyResult], chosen: PolicyResult, metric: str) -> str:
    """In plain words, where something that costs nothing, or a stream learner, is better."""
    found = ""
    for one in results:
        if one.is_policy:
            continue
        for name in dict.fromkeys((metric, "accuracy")):
            ours, theirs = chosen.metrics.get(name), one.metrics.get(name)
            if ours is None or theirs is None or one.n_rows < chosen.n_rows:
                continue
            if gain(name, theirs, ours) > 0:
                found += f" {_WORDS[one.name]} beats it: {name} {theirs:.4f} against {ours:.4f}."
                break
    return found


_WORDS = {
    "no_change": "Saying the last known label again",
    "majority": "Always saying the commonest label",
    "river:arf": "River's adaptive random forest",
    "river:hat": "River's Hoeffding adaptive tree",
}
