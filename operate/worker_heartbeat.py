"""Signs of life of a flow run: an automation on the server ends runs that fall silent.

Prefect's own heartbeats cost each synchronous flow a second at its end; these cost nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from uuid import UUID

EVENT = "prefect.flow-run.heartbeat"
BEAT_SECONDS = 30.0


@contextmanager
def heartbeats(flow_run_id: UUID, name: str, every_seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """Tell the server at once, and then every so often, that this flow run is alive."""
    from prefect.events import emit_event

    ended = threading.Event()
    resource = {"prefect.resource.id": f"prefect.flow-run.{flow_run_id}"}
    resource["prefect.resource.name"] = name

    def beat() -> None:
        emit_event(EVENT, resource)
        while not ended.wait(every_seconds):
            emit_event(EVENT, resource)

    # In this context, or the thread would read the settings of before the run's environment.
    thread = threading.Thread(target=copy_context().run, args=(beat,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=1.0)
