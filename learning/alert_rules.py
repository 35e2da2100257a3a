"""Which alerts go where, and when the API's errors are one."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, get_args

from pydantic import Field, field_validator

from learning.alert import Severity
from learning.problem_rules import Section
from learning.spans import Span

Route = Literal["info", "good", "warning", "critical", "off"]
LONGEST_WINDOW = timedelta(hours=1)
CHANNELS = ("discord", "email", "webhook")
_ORDER: tuple[Severity, ...] = get_args(Severity)


class AlertRules(Section):
    """Which alerts go where: the least severity that each channel tells, or ``off``."""

    discord: Route = Field("info", description="least severity told in Discord")
    email: Route = Field("critical", description="least severity sent by e-mail")
    webhook: Route = Field("info", description="least severity posted to the webhook")
    still_open_every: Span = Field(
        Span.parse("6h"), description="reminder of an incident that lasts; a time"
    )
    error_share: float = Field(
        0.01, gt=0, lt=1, description="of the API's answers with a 5xx status, before it alerts"
    )
    error_window: Span = Field(Span.parse("5m"), description="over which errors count; a time")
    error_min_requests: int = Field(100, ge=1, description="below this nothing can be said")

    @field_validator("error_window")
    @classmethod
    def _within_an_hour(cls, value: Span) -> Span:
        if value.time is not None and value.time > LONGEST_WINDOW:
            raise ValueError(f"found {value}; expected at most 1h: the counts reach no further")
        return value

    @field_validator("still_open_every", "error_window")
    @classmethod
    def _only_times(cls, value: Span) -> Span:
        if not value.time:
            raise ValueError(f"found {value}; expected a time above zero, like 5m or 6h")
        return value

    def channels(self, severity: Severity) -> tuple[str, ...]:
        """The channels that tell an alert of this severity."""
        return tuple(name for name in CHANNELS if _reaches(severity, getattr(self, name)))

    @property
    def still_open_seconds(self) -> float:
        """Time between reminders."""
        return _seconds(self.still_open_every)

    @property
    def error_window_seconds(self) -> float:
        """The window of errors."""
        return _seconds(self.error_window)


def _reaches(severity: Severity, route: Route) -> bool:
    return route != "off" and _ORDER.index(severity) >= _ORDER.index(route)


def _seconds(span: Span) -> float:
    assert span.time is not None  # the validator's work
    return span.time.total_seconds()
