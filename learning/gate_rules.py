"""The rules of the gate that a problem file may set, and whose labels it trusts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from learning.problem_rules import Section
from learning.spans import Span


class GateRules(Section):
    """What a challenger must show before it takes over."""

    accept: Literal["better", "not_worse"] = Field(
        "better", description="beyond chance better, or at least not worse by the margin"
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of all looks at one challenger")
    min_gain: float = Field(0.0, ge=0, description="the interval's lower end must exceed this")
    margin: float = Field(0.01, gt=0, description="smallest difference of the metric that matters")
    error_margin: float = Field(
        0.02, gt=0, description="the same for errors, as a share of the champion's"
    )
    min_rows: int = Field(50, ge=20, description="judged rows below which nothing is promoted")
    min_positives: int = Field(
        10, ge=2, description="judged rows of the rarer class, to replace a champion"
    )
    most_rows: int = Field(20_000, ge=50, description="newest rows that judge at most")
    block_rows: int | None = Field(
        None, ge=1, description="rows that depend on each other; null: found from the data"
    )
    looks: int = Field(4, ge=1, le=10, description="judgements of one challenger at most")
    growth: float = Field(1.5, gt=1, description="of the judged rows, before another look")
    patience: Span = Field(
        Span.parse("14d"), description="how long a challenger may wait for enough evidence"
    )
    floors: dict[str, float] = Field(
        default_factory=dict, description="worst acceptable value by metric, e.g. recall: 0.7"
    )
    slice_rows: int = Field(50, ge=20, description="judged rows below which a slice says nothing")
    backtest_share: float = Field(
        0.05, ge=0, le=0.5, description="of all rows, kept from training to ask what was forgotten"
    )
    max_miscalibration: float = Field(
        0.05, gt=0, description="most that the calibration error may rise"
    )
    max_parity_difference: float = Field(
        1e-4, gt=0, description="most that the ONNX model may differ from the fitted one"
    )
    max_slowdown: float = Field(3.0, ge=1, description="times the champion's time for one row")
    free_milliseconds: float = Field(0.25, ge=0, description="for one row, never too slow")
    max_growth: float = Field(20.0, ge=1, description="times the champion's bundle")
    free_megabytes: float = Field(10.0, ge=0, description="of a bundle, never too large")


class TrustRules(Section):
    """Whose labels train a model, and whose judge it."""

    feedback_judges: Literal["alone", "never"] = Field(
        "alone",
        description="alone: only while no other source brings labels since the first champion",
    )
    max_client_share: float = Field(
        0.5, gt=0, le=1, description="of the training rows that one token's feedback may be"
    )
    refuse_echoes: bool = Field(
        True, description="leave out feedback that repeats the model's own answers"
    )
    reversals: Literal["hold", "warn"] = Field(
        "warn",
        description="feedback that contradicts the champion in one part of the rows, where no "
        "other source brings labels: a challenger that learnt it waits for a person, or is told of",
    )
    new_leaks: Literal["refuse", "warn"] = Field(
        "refuse", description="a feature that gives the label away and did not before"
    )
