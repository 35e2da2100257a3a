"""The rules on performance that a problem file may set, and which metrics a task has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal, Protocol, get_args

from pydantic import Field, model_validator

from learning.problem_rules import Section

METRICS: Mapping[str, tuple[str, ...]] = {
    "binary": (
        "roc_auc",
        "pr_auc",
        "accuracy",
        "precision",
        "recall",
        "f1",
        "log_loss",
        "brier",
        "calibration_error",
    ),
    "multiclass": (
        "roc_auc",
        "accuracy",
        "recall",
        "f1",
        "log_loss",
        "brier",
        "calibration_error",
    ),
    "regression": ("mae", "rmse", "r2"),
}


Watched = Literal[
    "auto",
    "roc_auc",
    "pr_auc",
    "accuracy",
    "f1",
    "log_loss",
    "brier",
    "mae",
    "rmse",
    "r2",
]


class PerformanceRules(Section):
    """When live performance counts as too low."""

    metric: Watched = Field("auto", description="what is watched; auto: by task")
    floor: float | None = Field(None, description="absolute; worst value that is acceptable")
    max_drop: float = Field(0.05, ge=0, description="below what the champion is expected to reach")
    max_rise: float = Field(
        0.2,
        ge=0,
        description="of errors (mae, rmse, log_loss, brier), as a share of the expected value",
    )
    window_rows: int = Field(1_000, ge=20, description="newest labelled rows that are judged")
    min_rows: int = Field(100, ge=20, description="below this nothing can be said")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of the interval that must be worse")


class Slice(Section):
    """Rows whose performance is shown by themselves: by category, or by band of a number."""

    by: str = Field(description="name of a feature")
    edges: tuple[float, ...] = Field(
        (), description="of a number: where its bands begin and end; of a category: none"
    )

    @model_validator(mode="after")
    def _check_edges(self) -> Slice:
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError(f"edges: found {list(self.edges)}; expected rising numbers")
        return self


class _Column(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...


def refuse_foreign_metrics(task: str, metric: str, floors: Iterable[str]) -> None:
    """Raise ValueError where the watched metric, or a floor of the gate, is none of the task's."""
    known = METRICS[task]
    watched = [name for name in known if name in get_args(Watched)]
    if metric not in ("auto", *watched):
        raise ValueError(_not_among("performance.metric", metric, watched, task))
    for name in floors:
        if name not in known:
            raise ValueError(_not_among("gate.floors", name, known, task))


def _not_among(key: str, found: str, expected: Sequence[str], task: str) -> str:
    return f"{key}: found {found!r}; expected one of {', '.join(expected)} for a {task} task"


def refuse_foreign_slices(slices: Sequence[Slice], features: Sequence[_Column]) -> None:
    """Raise ValueError for a slice by what is no feature, or whose edges do not fit its kind."""
    kinds = {feature.name: feature.kind for feature in features}
    for part in slices:
        if part.by not in kinds:
            raise ValueError(f"slices: found {part.by!r}; expected the name of a feature")
        if kinds[part.by] == "numeric" and not part.edges:
            raise ValueError(f"slices: {part.by!r} is a number; expected edges, such as [30, 50]")
        if kinds[part.by] != "numeric" and part.edges:
            raise ValueError(f"slices: {part.by!r} is a category; it takes no edges")
