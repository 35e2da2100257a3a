"""Release: move the champion, wait for the servers' word, or take it back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from learning import alert_text
from learning.alert import Alert
from learning.gate import Verdict
from learning.phrases import Gain
from storage import models, releases, reports
from storage.bundles import read_bundle
from storage.database import reading
from storage.kill_points import reach
from storage.pointers import Acknowledgement, Former, Pointer, acknowledgements, read_pointer
from tasks.artifacts import show_history
from tasks.probation import begin_probation
from tasks.run import Run
from tasks.step import step

ACKNOWLEDGE_SECONDS = 20.0
# Who acts by itself, as people are told.
ACTORS = {"loop": "The loop", "rollback": "The loop"}
# States of a version that passed the gate and does not answer everybody yet.
CLIMBING = ("challenger", "shadow", "canary")


@dataclass(frozen=True)
class Released:
    """What became of a release: ``promoted``, ``rolled_back_to`` or ``refused``, and why."""

    generation: int
    state: str
    reason: str


@step("promote", retries=True)
def promote(run: Run, version: int, verdict: Verdict) -> Released:
    """Serve a version that passed the gate; taken back when a server refuses its bundle."""
    with reading(run.engine) as connection:
        row = models.find_version(connection, run.name, version)
        champion = models.champion(connection, run.name)
        begun = releases.pending_releases(connection, run.name)
    if row is None or row.bundle is None:
        raise LookupError(f"{run.name}: version {version} has no bundle to release")
    read_bundle(run.store, run.name, row.bundle)
    pointer = read_pointer(run.store, run.name)
    # A try before this one may have begun the release.
    mine = next((release for release in begun if release.version == version), None)
    reason = verdict.decision.reason
    if mine is not None:
        return carry_out(run, mine.generation, version, row.bundle, "loop", reason)
    if pointer is not None and champion is not None and pointer.version != str(champion.version):
        why = f"version {pointer.version} was chosen by {pointer.actor} meanwhile"
        reason = f"refused: it won against version {champion.version}, but {why}"
        return give_up(run, version, pointer, reason)
    at_least = 0 if pointer is None else pointer.generation
    with run.commit() as connection:
        generation = releases.begin_release(
            connection, run.name, version, row.bundle, "loop", reason, run.now, at_least
        )
    reach("promote.begun")
    return carry_out(run, generation, version, row.bundle, "loop", reason)


def carry_out(
    run: Run, generation: int, version: int, bundle: str, actor: str, reason: str
) -> Released:
    """Finish a release that was begun, wherever it was left: point, wait, write down."""
    with reading(run.engine) as connection:
        served = releases.served_before(connection, run.name, generation)
        row = models.find_version(connection, run.name, version)
    # What was served before may come back through the gate, as any challenger does.
    is_way_back = str(version) in {former.version for former in served}
    if row is not None and row.state in CLIMBING:
        is_way_back = False
    state = "rolled_back_to" if is_way_back else "promoted"
    pointer = read_pointer(run.store, run.name)
    if pointer is None or pointer.generation < generation:
        target = Former(str(version), bundle)
        try:
            releases.point(run.store, run.name, generation, target, state, actor, reason, served)
        except releases.StaleReleaseError as error:
            return give_up(run, version, None, str(error), generation)
    elif pointer.generation > generation or pointer.bundle != bundle:
        why = f"release {generation} came too late, generation {pointer.generation} is served"
        return give_up(run, version, pointer, f"refused: {why}", generation)
    refusal = wait_for_servers(run, generation)
    if refusal is not None:
        return take_back(run, version, generation, refusal)
    reach("swap.servers_followed")
    crown(run, version, generation, state)
    return Released(generation, state, reason)


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


def crown(run: Run, version: int, generation: int, state: str) -> None:
    """Write down that a release is served, in one transaction with its alert."""
    with run.commit() as connection:
        former = models.champion(connection, run.name)
        releases.finish_release(connection, run.name, generation, state)
        models.crown(connection, run.name, version)
        if former is None or former.version != version:
            alert = _told(connection, run, version, former, generation, state)
            run.alert(connection, alert, str(generation))
            row = models.find_version(connection, run.name, version)
            if former is not None and row is not None:
                begin_probation(connection, run, row, former, generation, state)
        history = releases.release_history(connection, run.name, 20)
    reach("promote.crowned")
    show_history(run, history)


def give_up(
    run: Run, version: int, pointer: Pointer | None, reason: str, generation: int | None = None
) -> Released:
    """Write down that another release came first, so that this version is not served."""
    if pointer is None:
        pointer = read_pointer(run.store, run.name)
    serving = None if pointer is None else pointer.version
    with run.commit() as connection:
        if generation is not None:
            releases.finish_release(connection, run.name, generation, "refused")
        row = models.find_version(connection, run.name, version)
        if row is not None and row.state in CLIMBING:
            models.update_version(connection, run.name, version, state="refused", reason=reason)
            alert = alert_text.challenger_refused(str(version), serving, reason)
            run.alert(connection, alert, str(version))
    return Released(generation or 0, "refused", reason)


def take_back(run: Run, version: int, generation: int, refusal: Acknowledgement) -> Released:
    """Point back at the bundle served before, after a server refused the new one."""
    code, why = refusal.refused_code or "load", refusal.refused_reason or "no reason given"
    reason = f"a server refused the bundle: {code}: {why}"
    with run.commit() as connection:
        releases.finish_release(connection, run.name, generation, "refused")
        models.update_version(connection, run.name, version, state="refused", reason=reason)
        good = releases.newest_served(connection, run.name)
        serving = None if good is None else str(good.version)
        alert = alert_text.bundle_refused(str(version), serving, code, why)
        run.alert(connection, alert, str(generation))
    reach("promote.refusal_noted")
    if good is not None:
        point_back(run, good, generation, reason)
    return Released(generation, "refused", reason)


def point_back(run: Run, good: Row[Any], at_least: int, reason: str) -> None:
    """Serve again what a carried-out release served, as a release of its own."""
    with run.commit() as connection:
        generation = releases.begin_release(
            connection, run.name, good.version, good.bundle, "loop", reason, run.now, at_least
        )
    reach("promote.way_back_begun")
    target = Former(str(good.version), good.bundle)
    releases.point(run.store, run.name, generation, target, "rolled_back_to", "loop", reason)
    with run.commit() as connection:
        releases.finish_release(connection, run.name, generation, "rolled_back_to")


def _told(
    connection: Connection,
    run: Run,
    version: int,
    former: Row[Any] | None,
    generation: int,
    state: str,
) -> Alert:
    """What people are told of a release, of a promotion from what the gate wrote down."""
    act = releases.find_release(connection, run.name, generation)
    if state == "rolled_back_to" and former is not None and act is not None:
        return alert_text.rolled_back(
            str(former.version), str(version), ACTORS.get(act.actor, act.actor), act.reason
        )
    row = models.find_version(connection, run.name, version)
    gate = next(iter(reports.gate_decisions(connection, run.name, version)), None)
    evidence: dict[str, Any] = {} if gate is None else gate.evidence
    reason = "no gate decision is known" if gate is None else gate.reason
    metric = str(evidence.get("metric", "metric"))
    if former is None:
        value = 0.0 if row is None else row.metrics.get(metric) or 0.0
        return alert_text.first_champion(str(version), metric, value, reason)
    low, high = evidence.get("gain_low") or 0.0, evidence.get("gain_high") or 0.0
    confidence = evidence.get("confidence", run.problem.gate.confidence)
    gain = Gain(metric, evidence.get("gain") or 0.0, low, high, confidence)
    return alert_text.promoted(str(former.version), str(version), gain, reason)
