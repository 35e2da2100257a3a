"""The rules that a problem file may set: windows, drift, retraining, search, costs."""

from __future__ import annotations

import difflib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from learning.spans import Span

DriftKind = Literal["none", "sudden", "gradual", "recurring", "incremental"]


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


class Windows(Section):
    """How many rows each window holds, counted from the newest backwards."""

    bootstrap_rows: int = Field(500, ge=50, description="labelled rows before a first champion")
    training_rows: int = Field(50_000, ge=50, description="most rows a challenger is fitted on")
    reference_rows: int = Field(5_000, ge=50, description="training rows kept for drift tests")
    current_rows: int = Field(1_000, ge=20, description="newest rows compared with the reference")
    holdout_share: float = Field(
        0.25, gt=0, lt=0.9, description="share of the new labelled rows kept to judge a challenger"
    )
    holdout_rows: int = Field(2_000, ge=30, description="most rows of the holdout")


class QuarantineRules(Section):
    """How much of what was refused is kept; the oldest goes first, released rows before others."""

    most_rows: int = Field(100_000, ge=1, description="rows that are kept at most")
    keep_days: int = Field(90, ge=1, description="how long a row is kept")


class DriftRules(Section):
    """When inputs count as drifted."""

    alpha: float = Field(0.05, gt=0, lt=1, description="per feature, after correction")
    family_alpha: float = Field(
        0.002,
        gt=0,
        lt=1,
        description="the smallest corrected p must be below, or nothing alarms; a fifth of the "
        "1% of false alarms that a check may raise, the rest is margin",
    )
    correction: Literal["benjamini-hochberg", "bonferroni", "none"] = Field(
        "benjamini-hochberg", description="of p-values, for testing many features at once"
    )
    min_effect_numeric: float = Field(0.1, ge=0, le=1, description="least KS statistic")
    min_effect_categorical: float = Field(
        0.1, ge=0, le=1, description="least Jensen–Shannon distance"
    )
    share: float = Field(0.1, ge=0, le=1, description="alarm above this share of features")
    group_share: float = Field(
        0.3, ge=0, le=1, description="alarm above this share of one group; warning above share"
    )
    min_rows: int = Field(50, ge=20, description="below this nothing can be said")
    calibrate: bool = Field(
        True, description="replay the reference against itself, for rows that depend on each other"
    )
    report_every: Span = Field(Span.parse("6h"), description="Evidently's report, at the latest")
    reports_kept: int = Field(20, ge=1, description="documents; the newest stays in any case")
    reports_max_age: Span = Field(Span.parse("30d"), description="older documents are removed")


class RetrainPolicy(Section):
    """Which triggers retrain, and what holds them back."""

    on_drift: bool = Field(True, description="retrain when inputs drift")
    on_harmless_drift: bool = Field(
        True, description="also while live performance is measured and not too low"
    )
    on_performance: bool = Field(True, description="retrain when live performance is too low")
    on_estimate: bool = Field(
        False, description="retrain when performance estimated without labels is too low"
    )
    violations: int = Field(
        2, ge=1, le=20, description="windows that must be violated, the newest among them"
    )
    of_windows: int = Field(5, ge=1, le=20, description="how many windows back violations count")
    volume_rows: int | None = Field(10_000, ge=1, description="new labelled rows that are enough")
    growth: float | None = Field(
        0.5,
        gt=0,
        le=10,
        description="the same as a share of the rows that the champion learnt from; whichever is "
        "less",
    )
    max_age: Span | None = Field(Span.parse("30d"), description="oldest that a champion may get")
    ask_archive: bool = Field(
        True, description="former champions go through the gate before a new model is trained"
    )
    min_new_rows: int = Field(200, ge=20, description="new labelled rows before any retrain")
    back_off: bool = Field(
        True,
        description="a refused challenger makes the next wait for twice the rows, up to eightfold",
    )
    cooldown: Span = Field(Span.parse("1h"), description="pause after a retrain")
    daily_budget: int = Field(6, ge=1, description="most retrains a day")
    circuit_pause: Span = Field(
        Span.parse("6h"), description="pause after three refused challengers in a row"
    )

    @model_validator(mode="after")
    def _check_windows(self) -> RetrainPolicy:
        if self.violations > self.of_windows:
            raise ValueError(
                f"violations: found {self.violations}; expected {self.of_windows} (of_windows) "
                "or fewer"
            )
        return self


class SearchRules(Section):
    """What training tries."""

    models: tuple[Literal["linear", "forest", "boosting", "lightgbm"], ...] = Field(
        ("linear", "lightgbm"),
        description="kinds of model; boosting stands in for a lightgbm that cannot be loaded",
    )
    windows: tuple[Literal["all", "recent", "newest", "changed", "fading"], ...] = Field(
        ("all", "recent", "newest", "changed", "fading"),
        description="how far back training rows reach; changed: to where the errors changed; "
        "fading: all, but after a fifth of the rows they weigh half as much",
    )
    folds: int = Field(3, ge=1, le=10, description="time-ordered validation blocks")
    budget_seconds: float = Field(60, gt=0, description="time for the whole search")
    seed: int = Field(0, description="of everything random in training")


class Costs(Section):
    """What each kind of error costs the business; the decision threshold minimises the sum."""

    false_positive: float = Field(1.0, ge=0, description="of a false alarm")
    false_negative: float = Field(1.0, ge=0, description="of a missed positive")
    retrain: float = Field(0.0, ge=0, description="of one training; only a replay counts it")
    alarm: float = Field(0.0, ge=0, description="of one alarm to a person; only a replay counts it")


class RiskLevel(Section):
    """A named band of the positive class's probability, from ``above`` upwards."""

    name: str = Field(description="as the API answers it")
    above: float = Field(ge=0, le=1, description="least probability of the band")


class GeneratorDrift(Section):
    """How generated rows change: their inputs, or the relation of inputs to the target."""

    kind: DriftKind = Field("none", description="shape of the change over rows")
    of: Literal["inputs", "target", "both"] = Field(
        "inputs", description="data drift (inputs), concept drift (target), or both at once"
    )
    start_row: int = Field(0, ge=0, description="first row that changes")
    length_rows: int = Field(2_000, ge=1, description="transition, or half a period if recurring")
    strength: float = Field(1.0, ge=0, description="1 is clearly visible, 0 is no change")


class Generator(Section):
    """Rows made by a seeded generator, as one of the sources."""

    name: Literal["linear", "maintenance", "churn", "credit"] = Field(
        description="which shipped generator"
    )
    seed: int = Field(0, ge=0, description="the same seed makes the same rows")
    bootstrap_rows: int = Field(2_000, ge=50, description="rows of the first ingest run")
    rows_per_run: int = Field(100, ge=0, description="rows that each ingest run adds")
    drift: GeneratorDrift = Field(GeneratorDrift(), description="how the rows change")
