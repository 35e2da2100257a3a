"""What a route declares: its path, its scope, and how it is documented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from api.runtime import Runtime
from api.slot import Slot


@dataclass(frozen=True)
class Reading:
    """A GET route. ``scope`` None means that anybody may ask; there is no default on purpose."""

    path: str
    endpoint: Callable[..., Any]
    scope: str | None
    is_free_on_loopback: bool = False
    options: dict[str, Any] = field(default_factory=dict)


def runtime_of(request: Request) -> Runtime:
    """The parts of this process."""
    runtime: Runtime = request.app.state.runtime
    return runtime


def slot_of(request: Request) -> Slot:
    """The slot of the problem whose route was asked for."""
    runtime = runtime_of(request)
    return runtime.slots[getattr(request.state, "problem", runtime.problems[0])]


AskedRuntime = Annotated[Runtime, Depends(runtime_of)]
AskedSlot = Annotated[Slot, Depends(slot_of)]
