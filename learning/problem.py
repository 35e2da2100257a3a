"""What is learnt: the types behind one ``problems/NAME.yaml``."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from learning.spans import Span

Task = Literal["binary", "multiclass", "regression"]
FeatureKind = Literal["numeric", "categorical"]
DriftKind = Literal["none", "sudden", "gradual", "recurring", "incremental"]
NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")


def label_text(value: Any) -> str:
    """The one spelling of a class label or category: 1, 1.0 and "1" are all ``"1"``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


LabelText = Annotated[str, BeforeValidator(label_text)]


class Section(BaseModel):
    """A frozen part of a problem file that refuses unknown keys by naming the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for key in data:
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1, cutoff=0.0)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"unknown key {key!r}{hint}")
        return data


class Feature(Section):
    """One input column of the model."""

    name: str
    kind: FeatureKind = "numeric"
    categories: tuple[LabelText, ...] = ()
    group: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    nullable: bool = True


class Windows(Section):
    """How many rows each window holds, counted from the newest backwards."""

    bootstrap_rows: int = Field(500, ge=50, description="labelled rows before a first champion")
    training_rows: int = Field(50_000, ge=50, description="most rows a challenger is fitted on")
    reference_rows: int = Field(5_000, ge=50, description="training rows kept for drift tests")
    current_rows: int = Field(1_000, ge=20, description="newest rows compared with the reference")
    holdout_share: float = Field(0.2, gt=0, lt=0.9, description="of the new labelled rows")
    holdout_rows: int = Field(2_000, ge=30, description="most rows of the holdout")


class DriftRules(Section):
    """When inputs count as drifted."""

    alpha: float = Field(0.05, gt=0, lt=1, description="per feature, after correction")
    family_alpha: float = Field(0.01, gt=0, lt=1, description="false alarms per check")
    correction: Literal["benjamini-hochberg", "bonferroni", "none"] = "benjamini-hochberg"
    min_effect_numeric: float = Field(0.1, ge=0, le=1, description="KS statistic")
    min_effect_categorical: float = Field(0.1, ge=0, le=1, description="Cramér's V")
    share: float = Field(0.1, ge=0, le=1, description="alarm above this share of features")
    min_rows: int = Field(100, ge=20, description="below this nothing can be said")
    report_every: Span = Field(Span.parse("6h"), description="Evidently's report, at the latest")


class PerformanceRules(Section):
    """When live performance counts as too low."""

    metric: Literal["auto", "roc_auc", "accuracy", "f1", "log_loss", "mae", "rmse"] = "auto"
    floor: float | None = Field(None, description="absolute; worst value that is acceptable")
    max_drop: float = Field(
        0.05, ge=0, description="against the champion's holdout; a share of it for errors"
    )
    window_rows: int = Field(1_000, ge=20)
    min_rows: int = Field(100, ge=20)
    confidence: float = Field(0.95, gt=0.5, lt=1)


class RetrainPolicy(Section):
    """Which triggers retrain, and what holds them back."""

    on_drift: bool = True
    on_performance: bool = True
    volume_rows: int | None = Field(10_000, ge=1, description="new labelled rows that are enough")
    max_age: Span | None = Span.parse("30d")
    min_new_rows: int = Field(200, ge=20, description="new labelled rows before any retrain")
    cooldown: Span = Span.parse("1h")
    daily_budget: int = Field(6, ge=1)


class SearchRules(Section):
    """What training tries."""

    models: tuple[Literal["linear", "forest", "boosting"], ...] = ("linear", "forest", "boosting")
    windows: tuple[Literal["all", "recent"], ...] = ("all", "recent")
    folds: int = Field(3, ge=1, le=10, description="time-ordered validation blocks")
    budget_seconds: float = Field(60, gt=0)
    seed: int = 0


class GateRules(Section):
    """What a challenger must show before it takes over."""

    confidence: float = Field(0.95, gt=0.5, lt=1)
    min_gain: float = Field(0.0, ge=0, description="the interval's lower end must exceed this")
    min_rows: int = Field(50, ge=20)
    floors: dict[str, float] = Field(default_factory=dict, description="e.g. recall: 0.7")
    max_parity_difference: float = Field(1e-4, gt=0)


class Costs(Section):
    """What each kind of error costs the business; the decision threshold minimises the sum."""

    false_positive: float = Field(1.0, ge=0)
    false_negative: float = Field(1.0, ge=0)


class RiskLevel(Section):
    """A named band of the positive class's probability, from ``above`` upwards."""

    name: str
    above: float = Field(ge=0, le=1)


class GeneratorDrift(Section):
    """How generated rows change: their inputs, or the relation of inputs to the target."""

    kind: DriftKind = "none"
    of: Literal["inputs", "target"] = "inputs"
    start_row: int = Field(0, ge=0)
    length_rows: int = Field(2_000, ge=1, description="transition, or half a period if recurring")
    strength: float = Field(1.0, ge=0)


class Generator(Section):
    """Rows made by a seeded generator, as one of the sources."""

    name: Literal["linear", "maintenance", "churn", "credit"]
    seed: int = 0
    bootstrap_rows: int = Field(2_000, ge=50)
    rows_per_run: int = Field(100, ge=0, description="rows that each ingest run adds")
    drift: GeneratorDrift = GeneratorDrift()


class Problem(Section):
    """One prediction problem. Everything but ``target`` has a default."""

    name: str = ""
    description: str = ""
    target: str
    task: Literal["auto"] | Task = "auto"
    classes: tuple[LabelText, ...] = Field((), description="binary: negative first, then positive")
    positive_class: LabelText | None = None
    event_time: str | None = None
    key: str | None = None
    drop: tuple[str, ...] = ()
    features: tuple[Feature, ...] = Field((), description="empty: inferred from the first batch")
    sources: tuple[Literal["inbox", "feedback", "generator"], ...] = ("inbox", "feedback")
    label_delay: Span = Span.parse(0)
    max_bad_share: float = Field(0.5, ge=0, le=1, description="of a batch, before all is refused")
    windows: Windows = Windows()
    drift: DriftRules = DriftRules()
    performance: PerformanceRules = PerformanceRules()
    retrain: RetrainPolicy = RetrainPolicy()
    search: SearchRules = SearchRules()
    gate: GateRules = GateRules()
    costs: Costs = Costs()
    risk_levels: tuple[RiskLevel, ...] = (
        RiskLevel(name="low", above=0.0),
        RiskLevel(name="medium", above=0.3),
        RiskLevel(name="high", above=0.7),
    )
    generator: Generator | None = None

    @model_validator(mode="after")
    def _check_names(self) -> Problem:
        if self.name and not NAME.match(self.name):
            raise ValueError(f"name: found {self.name!r}; expected to match {NAME.pattern}")
        names = [feature.name for feature in self.features]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"features: {name!r} is listed twice")
        for role in ("target", "event_time", "key"):
            if getattr(self, role) in names:
                raise ValueError(f"features: {getattr(self, role)!r} is also the {role} column")
        if "generator" in self.sources and self.generator is None:
            raise ValueError("sources: 'generator' is listed but there is no generator section")
        return self
