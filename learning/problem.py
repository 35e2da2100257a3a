"""What is learnt: the types behind one ``problems/NAME.yaml``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, field_validator, model_validator

from learning.alert_rules import AlertRules
from learning.gate_rules import GateRules, TrustRules
from learning.performance_rules import (
    PerformanceRules,
    Slice,
    refuse_foreign_metrics,
    refuse_foreign_slices,
)
from learning.problem_rules import (
    Costs,
    DriftKind,
    DriftRules,
    Generator,
    GeneratorDrift,
    QuarantineRules,
    RetrainPolicy,
    RiskLevel,
    SearchRules,
    Section,
    Windows,
)
from learning.rollout_rules import RolloutRules
from learning.sources import Outside, Source, source_name
from learning.spans import Span

__all__ = [
    "NAME",
    "AlertRules",
    "Costs",
    "DriftKind",
    "DriftRules",
    "Feature",
    "FeatureKind",
    "GateRules",
    "Generator",
    "GeneratorDrift",
    "LabelText",
    "PerformanceRules",
    "Problem",
    "QuarantineRules",
    "RetrainPolicy",
    "RiskLevel",
    "RolloutRules",
    "SearchRules",
    "Section",
    "Slice",
    "Task",
    "TrustRules",
    "Windows",
    "label_text",
]

Task = Literal["binary", "multiclass", "regression"]
FeatureKind = Literal["numeric", "categorical"]
SHORTEST_TURN, LONGEST_TURN = timedelta(seconds=5), timedelta(days=31)
NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")


def label_text(value: Any) -> str:
    """The one spelling of a class label or category: 1, 1.0 and "1" are all ``"1"``."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


LabelText = Annotated[str, BeforeValidator(label_text)]


class Feature(Section):
    """One input column of the model."""

    name: str = Field(description="of the column")
    kind: FeatureKind = Field("numeric", description="numeric or categorical")
    categories: tuple[LabelText, ...] = Field(
        (), description="known categories, most frequent first; any other counts as unseen"
    )
    group: str | None = Field(None, description="reports show features by group")
    minimum: float | None = Field(None, description="a row with less is quarantined")
    maximum: float | None = Field(None, description="a row with more is quarantined")
    nullable: bool = Field(True, description="false: a row without it is quarantined")
    unseen: Literal["accept", "quarantine"] = Field(
        "accept", description="what becomes of a row whose category is not a known one"
    )

    @model_validator(mode="after")
    def _check_unseen(self) -> Feature:
        if self.unseen == "quarantine" and not self.categories:
            raise ValueError(
                f"{self.name}: unseen: quarantine needs categories; list those that are allowed"
            )
        return self


class Problem(Section):
    """One prediction problem. Everything but ``target`` has a default."""

    name: str = Field("", description="lower case; default: the file's name")
    description: str = Field("", description="for people")
    target: str = Field(description="column that is predicted")
    task: Literal["auto", "binary", "multiclass", "regression"] = Field(
        "auto", description="auto: from the target's values"
    )
    classes: tuple[LabelText, ...] = Field((), description="binary: negative first, then positive")
    positive_class: LabelText | None = Field(None, description="binary; default: the last class")
    event_time: str | None = Field(
        None, description="column of when it happened; none: rows count in order of arrival"
    )
    key: str | None = Field(None, description="column that tells rows apart; each is stored once")
    drop: tuple[str, ...] = Field((), description="columns that are never features")
    features: tuple[Feature, ...] = Field((), description="empty: inferred from the first batch")
    sources: tuple[Source, ...] = Field(("inbox", "feedback"), description="where rows come from")
    every: Span = Field(
        Span.parse("30s"), description="from one turn of the loop to the next; 5s to 31d"
    )
    label_delay: Span = Field(Span.parse(0), description="from event to label: 500 rows, or 7d")
    max_ahead: Span | None = Field(
        Span.parse("1d"),
        description="rows whose event time lies further in the future are quarantined; null: none",
    )
    max_bad_share: float = Field(0.5, ge=0, le=1, description="of a batch, before all is refused")
    quarantine: QuarantineRules = Field(
        QuarantineRules(), description="how long refused rows are kept"
    )
    windows: Windows = Field(Windows(), description="how many rows each window holds")
    drift: DriftRules = Field(DriftRules(), description="when inputs count as drifted")
    performance: PerformanceRules = Field(
        PerformanceRules(), description="when live performance counts as too low"
    )
    slices: tuple[Slice, ...] = Field(
        (), description="features by which live performance is shown apart"
    )
    retrain: RetrainPolicy = Field(RetrainPolicy(), description="which triggers retrain")
    search: SearchRules = Field(SearchRules(), description="what training tries")
    gate: GateRules = Field(GateRules(), description="what a challenger must show to take over")
    trust: TrustRules = Field(
        TrustRules(), description="whose labels train a model, and whose judge it"
    )
    rollout: RolloutRules = Field(
        RolloutRules(), description="how a challenger that passed the gate takes over"
    )
    costs: Costs = Field(Costs(), description="of errors; they set the decision threshold")
    risk_levels: tuple[RiskLevel, ...] = Field(
        (
            RiskLevel(name="low", above=0.0),
            RiskLevel(name="medium", above=0.3),
            RiskLevel(name="high", above=0.7),
        ),
        description="bands of the positive class's probability",
    )
    alerts: AlertRules = Field(AlertRules(), description="which alerts go where")
    generator: Generator | None = Field(None, description="the seeded generator, if any")

    @model_validator(mode="after")
    def _check_names(self) -> Problem:
        if self.name and not NAME.match(self.name):
            raise ValueError(f"name: found {self.name!r}; expected to match {NAME.pattern}")
        names = [feature.name for feature in self.features]
        if twice := _first_repeated(names):
            raise ValueError(f"features: {twice!r} is listed twice")
        roles = {role: getattr(self, role) for role in ("target", "event_time", "key")}
        for role, column in roles.items():
            if column in names:
                raise ValueError(f"features: {column!r} is also the {role} column")
            if column in self.drop:
                raise ValueError(f"drop: {column!r} is the {role} column")
        if twice := _first_repeated(column for column in roles.values() if column):
            raise ValueError(f"{twice!r} has two roles; target, event_time and key must differ")
        if dropped := set(self.drop).intersection(names):
            raise ValueError(f"drop: {min(dropped)!r} is also listed in features")
        if twice := _first_repeated(source_name(source) for source in self.sources):
            raise ValueError(f"sources: {twice!r} is listed twice; give each a name of its own")
        if "generator" in self.sources and self.generator is None:
            raise ValueError("sources: 'generator' is listed but there is no generator section")
        return self

    @property
    def outside(self) -> tuple[Outside, ...]:
        """The sources that are read outside of Perennial."""
        return tuple(source for source in self.sources if not isinstance(source, str))

    @field_validator("every")
    @classmethod
    def _check_every(cls, value: Span) -> Span:
        if value.time is None or not SHORTEST_TURN <= value.time <= LONGEST_TURN:
            raise ValueError(f"found {value}; expected a time of 5s to 31d, such as 30s or 1h")
        return value

    @field_validator("max_ahead")
    @classmethod
    def _check_time(cls, value: Span | None) -> Span | None:
        if value is not None and value.time is None:
            raise ValueError(f"found {value}; expected a time, such as 1d")
        return value

    @model_validator(mode="after")
    def _check_metrics(self) -> Problem:
        if self.task != "auto":
            refuse_foreign_metrics(self.task, self.performance.metric, self.gate.floors)
        if self.features:
            refuse_foreign_slices(self.slices, self.features)
        return self

    @model_validator(mode="after")
    def _check_classes(self) -> Problem:
        if twice := _first_repeated(self.classes):
            raise ValueError(f"classes: {twice!r} is listed twice")
        if self.classes and self.task == "regression":
            raise ValueError("classes: a regression has none; remove them or change the task")
        if self.classes and self.task == "binary" and len(self.classes) != 2:
            raise ValueError(f"classes: found {len(self.classes)}; a binary task has exactly two")
        if self.positive_class and self.classes and self.positive_class not in self.classes:
            raise ValueError(
                f"positive_class: found {self.positive_class!r}; expected one of "
                f"{', '.join(self.classes)}"
            )
        for feature in self.features:
            if twice := _first_repeated(feature.categories):
                raise ValueError(f"features: {feature.name}: category {twice!r} is listed twice")
        return self


def _first_repeated(names: Iterable[str]) -> str | None:
    """The first name that stands twice, or None."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
