"""The retraining policies that a replay compares, each as the rules a problem file would hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from learning.problem import Problem, RetrainPolicy
from learning.spans import Span

YARDSTICKS = ("no_change", "majority")
RIVER = ("river:arf", "river:hat")
PLAIN = ("never", "drift", "performance", "auto", "always")
USUAL = ("never", "every:1000", "drift", "performance", "auto", "always")
_EVERY = re.compile(r"^every:(\S+)$")
_OFF: dict[str, Any] = {
    "on_drift": False,
    "on_performance": False,
    "on_estimate": False,
    "volume_rows": None,
    "growth": None,
    "max_age": None,
}
# A fixed rhythm: no brake but the rows or the time that it names, and always a new model.
_UNBRAKED: dict[str, Any] = {
    "ask_archive": False,
    "cooldown": Span.parse(0),
    "circuit_pause": Span.parse(0),
    "daily_budget": 1_000_000,
    "back_off": False,
}


@dataclass(frozen=True)
class Policy:
    """A named policy; ``changes`` is what it sets in the problem's ``retrain`` section."""

    name: str
    changes: dict[str, Any]

    def of(self, problem: Problem) -> Problem:
        """The problem with this policy's rules."""
        fields = {name: getattr(problem.retrain, name) for name in RetrainPolicy.model_fields}
        retrain = RetrainPolicy.model_validate({**fields, **self.changes})
        return problem.model_copy(update={"retrain": retrain})


def find_policy(name: str, problem: Problem) -> Policy:
    """The policy of a name, for a problem. Raises ValueError, naming all, for one that is unknown.

    ``every:N`` takes rows (1000) or time (7d).
    """
    rules = problem.retrain
    if name == "auto":
        return Policy(name, {})
    if name == "never":
        return Policy(name, _OFF)
    if name == "drift":
        return Policy(name, {**_OFF, "on_drift": True, "on_harmless_drift": True})
    if name == "performance":
        return Policy(name, {**_OFF, "on_performance": True})
    if name == "always":
        return Policy(name, {**_OFF, **_UNBRAKED, "volume_rows": rules.min_new_rows})
    if match := _EVERY.match(name):
        return _every(name, Span.parse(match.group(1)))
    known = ", ".join((*PLAIN, "every:1000", "every:7d", *YARDSTICKS, *RIVER))
    raise ValueError(f"found no policy {name!r}; expected one of {known}")


def _every(name: str, span: Span) -> Policy:
    if span.rows is None:
        return Policy(name, {**_OFF, **_UNBRAKED, "max_age": span, "cooldown": span})
    if span.rows < 20:
        raise ValueError(f"policy {name!r}: expected 20 rows or more")
    rows = {"volume_rows": span.rows, "min_new_rows": span.rows}
    return Policy(name, {**_OFF, **_UNBRAKED, **rows})


def is_yardstick(name: str) -> bool:
    """Whether a name stands for a predictor that needs no loop."""
    return name in YARDSTICKS or name in RIVER
