"""Steps: plain functions that become Prefect tasks where Prefect runs them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import stamina
from loguru import logger
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.tasks import exponential_backoff
from sqlalchemy.exc import OperationalError
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

P = ParamSpec("P")
R = TypeVar("R")

# What may pass by itself: a locked or restarting database, a network or disk that hiccups.
TRANSIENT: tuple[type[Exception], ...] = (OperationalError, ConnectionError, TimeoutError)
RETRIES = 3


def step(name: str, retries: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function a step of the loop.

    In a Prefect flow run the call is a task run of this name; without Prefect it is a plain call.
    With ``retries``, transient I/O errors are tried again with backoff and jitter in both cases;
    rules and fits never are, since they would fail the same way.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        as_task = task(
            name=name,
            retries=RETRIES if retries else 0,
            retry_delay_seconds=exponential_backoff(backoff_factor=1),
            retry_jitter_factor=0.5,
            retry_condition_fn=lambda _task, _run, state: _is_transient(state),
            persist_result=False,
            cache_policy=NO_CACHE,
        )(function)
        alone = (
            stamina.retry(on=TRANSIENT, attempts=RETRIES + 1, timeout=30)(function)
            if retries
            else function
        )

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if FlowRunContext.get() is None:
                return alone(*args, **kwargs)
            return as_task(*args, **kwargs)

        return call

    return decorate


def tell_of_retry(details: RetryDetails) -> None:
    """Log what failed, why, and when it is tried again; arguments may hold rows and stay out."""
    cause = f"{type(details.caused_by).__name__}: {details.caused_by}"
    text = "{} failed and is tried again in {:.1f} s (retry {}): {}"
    logger.warning(text, details.name, details.wait_for, details.retry_num, cause)


set_on_retry_hooks([tell_of_retry])


def _is_transient(state: object) -> bool:
    try:
        state.result()  # type: ignore[attr-defined]
    except TRANSIENT:
        return True
    except Exception:
        return False
    return False
