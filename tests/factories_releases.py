"""Makes versions that passed the gate without training any, and servers that follow a pointer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from learning.decision import Decision
from learning.gate import Verdict
from settings import Settings
from storage import models, reports
from storage.pointers import Acknowledgement, acknowledge, read_pointer, stay, withdraw
from tasks.release import Released, promote
from tasks.run import Run
from tests.factories import small_run
from tests.factories_bundles import write_version

GO = Verdict(
    Decision(True, "better by 0.1", {"metric": "mae"}), "promote", (), 0.1, 0.05, 0.2, 0.95
)


def passed(run: Run) -> int:
    """A version that passed the gate in this run; its bundle answers its own number."""
    with run.commit() as db:
        version = models.begin_version(db, run.name, run.run_id, run.now)
        bundle = write_version(run.store, version, problem=run.name)
        models.update_version(
            db, run.name, version, state="challenger", bundle=bundle, metrics={"mae": 0.5}
        )
        figures = {"gain": 0.1, "gain_low": 0.05, "gain_high": 0.2}
        evidence = {"version": version, "metric": "mae", **figures}
        decision = {
            "run_id": run.run_id,
            "problem": run.name,
            "kind": "gate",
            "go": True,
            "reason": "better by 0.1",
            "evidence": evidence,
            "clock": run.now,
        }
        reports.save_decision(db, decision)
    return version


def release_next(settings: Settings) -> Released:
    """What became of the next version that passed the gate."""
    with small_run(settings) as run:
        return promote(run, passed(run), GO)


@contextmanager
def server(store: Path, refuses: str | None = None) -> Iterator[list[int]]:
    """A server of the small problem that follows its pointer, or refuses every other bundle.

    It refuses every candidate then as well.

    Yields the generations that it has seen.
    """
    seen: list[int] = []
    stopped = threading.Event()
    serving = 0
    before = read_pointer(store, "small")
    if before is not None:
        serving = before.generation
        seen.append(serving)
    served = None if before is None else before.bundle
    word = Acknowledgement("fake", serving, serving)
    acknowledge(store, "small", word)

    def follow() -> None:
        nonlocal serving
        while not stopped.wait(0.005):
            with contextlib.suppress(msgspec.MsgspecError):
                pointer = read_pointer(store, "small")
                if pointer is None or pointer.generation in seen:
                    stay(store, "small", "fake")
                    continue
                seen.append(pointer.generation)
                generation = pointer.generation
                is_known = pointer.bundle == served and pointer.candidate is None
                if refuses is None or is_known:
                    serving = generation
                    acknowledge(store, "small", Acknowledgement("fake", generation, generation))
                else:
                    answer = Acknowledgement("fake", generation, serving, refuses, "as told")
                    acknowledge(store, "small", answer)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()
        withdraw(store, "small", "fake")
