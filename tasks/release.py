"""Release: move the champion, wait for the servers' word, or take it back."""

from __future__ import annotations

import time
from dataclasses import dataclass

from learning import alert_text
from learning.alert import Alert
from learning.gate import Verdict
from learning.phrases import Gain
from storage import models, releases
from storage.bundles import read_bundle
from storage.database import reading
from storage.pointers import Acknowledgement, Former, acknowledgements, read_pointer
from tasks.artifacts import show_history
from tasks.run import Run
from tasks.step import step

ACKNOWLEDGE_SECONDS = 20.0


@dataclass(frozen=True)
class Released:
    """What became of a release: ``promoted`` or ``refused``, and why."""

    generation: int
    state: str
    reason: str


@step("promote", retries=True)
def promote(run: Run, version: int, verdict: Verdict) -> Released:
    """Serve a version that passed the gate; taken back when a server refuses its bundle."""
    with reading(run.engine) as connection:
        row = models.find_version(connection, run.name, version)
        former = models.champion(connection, run.name)
    if row is None or row.bundle is None:
        raise LookupError(f"{run.name}: version {version} has no bundle to release")
    read_bundle(run.store, run.name, row.bundle)
    pointer = read_pointer(run.store, run.name)
    with run.commit() as connection:
        generation = releases.begin_release(
            connection,
            run.name,
            version,
            row.bundle,
            "loop",
            verdict.decision.reason,
            run.now,
            at_least=0 if pointer is None else pointer.generation,
        )
    target = Former(str(version), row.bundle)
    reason = verdict.decision.reason
    try:
        releases.point(run.store, run.name, generation, target, "promoted", "loop", reason)
    except releases.StaleReleaseError as error:
        with run.commit() as connection:
            releases.finish_release(connection, run.name, generation, "refused")
        return Released(generation, "refused", str(error))
    old = None if former is None else int(former.version)
    refusal = wait_for_servers(run, generation)
    if refusal is not None:
        return take_back(run, version, generation, refusal)
    crown(run, version, generation, _told(verdict, version, old, row.metrics))
    return Released(generation, "promoted", reason)


def wait_for_servers(run: Run, generation: int) -> Acknowledgement | None:
    """Wait until every live server answers with this generation; a refusal, if one refuses.

    Servers that neither follow nor refuse within 20 seconds count as gone: they follow when they
    come back, since the pointer has moved.
    """
    deadline = time.monotonic() + ACKNOWLEDGE_SECONDS
    while time.monotonic() < deadline:
        words = acknowledgements(run.store, run.name)
        refused = [w for w in words if w.generation == generation and w.refused_code]
        if refused:
            return refused[0]
        if all(word.serving_generation >= generation for word in words):
            return None
        time.sleep(0.02)
    return None


def crown(run: Run, version: int, generation: int, alert: Alert) -> None:
    """Write down that a release is served, in one transaction with its alert."""
    with run.commit() as connection:
        releases.finish_release(connection, run.name, generation, "promoted")
        models.crown(connection, run.name, version)
        run.alert(connection, alert, str(generation))
        history = releases.release_history(connection, run.name, 20)
    show_history(run, history)


def take_back(run: Run, version: int, generation: int, refusal: Acknowledgement) -> Released:
    """Point back at the former bundle after a server refused the new one."""
    code, why = refusal.refused_code or "load", refusal.refused_reason or "no reason given"
    reason = f"a server refused the bundle: {code}: {why}"
    pointer = read_pointer(run.store, run.name)
    former = pointer.former[0] if pointer is not None and pointer.former else None
    with run.commit() as connection:
        releases.finish_release(connection, run.name, generation, "refused")
        models.update_version(connection, run.name, version, state="refused", reason=reason)
        serving = None if former is None else former.version
        alert = alert_text.bundle_refused(str(version), serving, code, why)
        run.alert(connection, alert, str(generation))
    if former is not None:
        with run.commit() as connection:
            back = releases.begin_release(
                connection,
                run.name,
                int(former.version),
                former.bundle,
                "loop",
                reason,
                run.now,
                at_least=generation,
            )
            releases.finish_release(connection, run.name, back, "rolled_back_to")
        releases.point(run.store, run.name, back, former, "rolled_back_to", "loop", reason)
    return Released(generation, "refused", reason)


def _told(verdict: Verdict, version: int, former: int | None, metrics: dict[str, float]) -> Alert:
    metric = str(verdict.decision.evidence.get("metric", "metric"))
    if former is None:
        value = metrics.get(metric) or 0.0
        return alert_text.first_champion(str(version), metric, value, verdict.decision.reason)
    gain = Gain(
        metric, verdict.gain or 0.0, verdict.gain_low or 0.0, verdict.gain_high or 0.0, 0.95
    )
    return alert_text.promoted(str(former), str(version), gain, verdict.decision.reason)
