"""Roll out: a version that passed the gate takes over at once, or in stages, by policy."""

from __future__ import annotations

from typing import Any

from loguru import logger
from sqlalchemy import Connection, Row

from learning import alert_rollout
from learning.gate import Verdict
from learning.rollout import Stage, stages_of
from storage import models, releases, rollouts
from storage.bundles import BundleError, read_bundle
from storage.candidates import Candidate
from storage.database import reading
from storage.kill_points import reach
from storage.pointers import Former, read_pointer
from tasks.artifacts import show_rollout
from tasks.release import Released, carry_out, give_up, promote, wait_for_servers
from tasks.run import Run
from tasks.step import step
from tasks.withdrawal import lose, take_away_orphan, withdraw

BEFORE = rollouts.BEFORE_PROMOTION


def roll_out(run: Run, version: int, verdict: Verdict) -> Released:
    """Promote a version that passed the gate, or begin the first stage that the policy asks for.

    A first champion is promoted at once, as is one that solves another task than the champion:
    there is nothing to compare it with.
    """
    stages = stages_of(run.problem.rollout)
    if not stages or not _is_comparable(run, version):
        return promote(run, version, verdict)
    return begin_stage(run, version, stages[0], verdict.decision.reason)


def _is_comparable(run: Run, version: int) -> bool:
    with reading(run.engine) as connection:
        rows = (
            models.champion(connection, run.name),
            models.find_version(connection, run.name, version),
        )
    tasks = set()
    for row in rows:
        if row is None or row.bundle is None:
            return False
        try:
            tasks.add(read_bundle(run.store, run.name, row.bundle).manifest.task)
        except BundleError as error:
            logger.warning("{}: version {} is no measure: {}", run.name, row.version, error)
            return False
    return len(tasks) == 1


@step("begin a stage of the rollout", retries=True)
def begin_stage(run: Run, version: int, stage: Stage, reason: str) -> Released:
    """Put a version beside the champion: in the shadow, or as canary."""
    with reading(run.engine) as connection:
        row = models.find_version(connection, run.name, version)
        champion = models.champion(connection, run.name)
        begun = rollouts.running(connection, run.name, BEFORE)
    pointer = read_pointer(run.store, run.name)
    if row is None or row.bundle is None or champion is None:
        raise LookupError(f"{run.name}: version {version} cannot stand beside a champion")
    if pointer is None or pointer.version != str(champion.version):
        chosen = "nothing" if pointer is None else f"version {pointer.version}"
        why = f"refused: it won against version {champion.version}, but {chosen} is served"
        return give_up(run, version, pointer, why)
    if begun is None or (begun.version, begun.stage) != (version, stage):
        with run.commit() as connection:
            if begun is not None:
                _close(connection, run, begun, version, reason)
            _enter(connection, run, row, champion, stage, reason, pointer.generation)
        reach("rollout.stage_begun")
    # Else a try before this one has begun it.
    return carry_out_stage(run)


def _close(connection: Connection, run: Run, begun: Row[Any], version: int, reason: str) -> None:
    """End the stage before: passed when it was this version's, else another came first."""
    if begun.version == version:
        rollouts.end_stages(connection, run.name, BEFORE, "passed", reason, run.now)
        alert = alert_rollout.stage_passed(begun.stage, str(version), reason)
        run.alert(connection, alert, str(begun.generation))
        return
    why = f"version {version} passed the gate meanwhile"
    rollouts.end_stages(connection, run.name, BEFORE, "ended", why, run.now)
    models.update_version(connection, run.name, begun.version, state="refused", reason=why)


def _enter(
    connection: Connection,
    run: Run,
    row: Row[Any],
    champion: Row[Any],
    stage: Stage,
    reason: str,
    at_least: int,
) -> None:
    generation = releases.begin_release(
        connection, run.name, row.version, row.bundle, "loop", reason, run.now, at_least, "staging"
    )
    rollouts.begin_stage(
        connection,
        run.name,
        stage,
        generation,
        (row.version, row.bundle),
        (champion.version, champion.bundle),
        run.problem.rollout.canary_share if stage == "canary" else 0.0,
        reason,
        run.now,
    )
    models.update_version(connection, run.name, row.version, state=stage, reason=reason)


def carry_out_stage(run: Run) -> Released:
    """Bring a stage that was begun to all servers, wherever it was left."""
    with reading(run.engine) as connection:
        stage = rollouts.running(connection, run.name, BEFORE)
    if stage is None:
        raise LookupError(f"{run.name}: no stage of a rollout is running")
    pointer = read_pointer(run.store, run.name)
    if pointer is None:
        return lose(run, stage, None)
    candidate = candidate_of(stage)
    if pointer.generation < stage.generation:
        own, served = (
            Former(candidate.version, stage.bundle),
            Former(pointer.version, pointer.bundle),
        )
        try:
            releases.point(
                run.store, run.name, stage.generation, served, stage.stage, "loop", stage.reason,
                candidate=candidate, about=own,
            )  # fmt: skip
        except releases.StaleReleaseError:
            return lose(run, stage, read_pointer(run.store, run.name))
        reach("rollout.candidate_pointed")
    elif pointer.candidate != candidate:
        return lose(run, stage, pointer)
    refusal = wait_for_servers(run, stage.generation)
    if refusal is not None:
        why = f"a server refused it: {refusal.refused_code}: {refusal.refused_reason}"
        return withdraw(run, stage, f"{stage.stage} failed: {why}")
    with run.commit() as connection:
        releases.finish_release(connection, run.name, stage.generation, stage.stage)
        alert = alert_rollout.stage_started(
            stage.stage, str(stage.version), str(stage.against), stage.share, stage.reason
        )
        run.alert(connection, alert, str(stage.generation))
        history = rollouts.history(connection, run.name, 20)
    reach("rollout.stage_open")
    show_rollout(run, history)
    return Released(stage.generation, stage.stage, stage.reason)


def candidate_of(stage: Row[Any]) -> Candidate:
    """How a running stage stands in the pointer."""
    return Candidate(str(stage.version), stage.bundle, stage.stage, stage.share)


def _state_of(run: Run, stage: Row[Any]) -> str | None:
    with reading(run.engine) as connection:
        act = releases.find_release(connection, run.name, stage.generation)
    return None if act is None else str(act.state)


def settle_rollout(run: Run) -> int:
    """Finish what a run that was killed left of a rollout; 1 when there was something."""
    with reading(run.engine) as connection:
        stage = rollouts.running(connection, run.name, BEFORE)
    pointer = read_pointer(run.store, run.name)
    if stage is None:
        if pointer is None or pointer.candidate is None:
            return 0
        take_away_orphan(run, pointer, pointer.candidate)
        return 1
    if _state_of(run, stage) == "staging":
        carry_out_stage(run)
        return 1
    if pointer is None or pointer.candidate != candidate_of(stage):
        lose(run, stage, pointer)
        return 1
    return 0


@step("promote after the rollout", retries=True)
def finish_rollout(run: Run, stage: Row[Any], reason: str) -> Released:
    """Promote a version that passed its last stage."""
    with reading(run.engine) as connection:
        begun = releases.pending_releases(connection, run.name)
    mine = next((release for release in begun if release.version == stage.version), None)
    if mine is not None:  # by a try before this one
        return carry_out(run, mine.generation, stage.version, stage.bundle, mine.actor, mine.reason)
    pointer = read_pointer(run.store, run.name)
    if pointer is None or pointer.candidate != candidate_of(stage):
        return lose(run, stage, pointer)
    with run.commit() as connection:
        rollouts.end_stages(connection, run.name, BEFORE, "passed", reason, run.now)
        run.alert(
            connection,
            alert_rollout.stage_passed(stage.stage, str(stage.version), reason),
            str(stage.generation),
        )
        generation = releases.begin_release(
            connection, run.name, stage.version, stage.bundle, "canary", reason, run.now,
            pointer.generation,
        )  # fmt: skip
    reach("rollout.passed")
    return carry_out(run, generation, stage.version, stage.bundle, "canary", reason)
