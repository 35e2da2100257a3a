"""How a challenger that passed the gate takes over: what the problem file may set."""

from __future__ import annotations

from pydantic import Field, field_validator

from learning.problem_rules import Section
from learning.spans import Span


class RolloutRules(Section):
    """How a challenger that passed the gate takes over; without shadow and canary at once."""

    shadow: Span | None = Field(
        None, description="how long it scores live rows and answers none; null: not at all"
    )
    canary: Span | None = Field(
        None, description="how long it answers a share, in its own answers or time; null: not"
    )
    canary_share: float = Field(
        0.1, gt=0, lt=1, description="of requests that the canary answers, stable per key"
    )
    probation: Span | None = Field(
        Span.parse(1_000),
        description="labelled rows, or time, on which the former champion may win its place back; "
        "null: none",
    )
    min_rows: int = Field(
        50, ge=20, description="labelled rows before the two are compared; a stage in time needs "
        "as many live rows"
    )  # fmt: skip
    confidence: float = Field(
        0.95, gt=0.5, lt=1, description="of all comparisons of a stage together"
    )
    max_latency: float = Field(
        3.0, gt=0, description="longest that one row may take, in times of the champion's"
    )
    max_shift: float | None = Field(
        None, gt=0, le=1,
        description="most that its scores may be distributed otherwise: KS statistic, or "
        "difference of class shares; null: shown only",
    )  # fmt: skip
    patience: Span = Field(
        Span.parse("7d"), description="a stage that has not passed by then failed; a time"
    )

    @field_validator("patience")
    @classmethod
    def _only_times(cls, value: Span) -> Span:
        if not value.time:
            raise ValueError(f"found {value}; expected a time above zero, like 6h or 7d")
        return value
