"""Watch the rollout: judge the running stage, go on, promote, withdraw or roll back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from loguru import logger
from sqlalchemy import Row

from learning import alert_rollout
from learning.error_rate import ErrorRate
from learning.phrases import percent
from learning.rollout import StageVerdict, judge_stage, stages_of
from storage import models, releases, rollouts
from storage.bundles import BundleError
from storage.database import reading
from storage.kill_points import reach
from storage.pointers import read_pointer
from tasks.artifacts import show_rollout
from tasks.probation import PROBATION, end_probation
from tasks.release import Released, carry_out
from tasks.rollout import BEFORE, begin_stage, finish_rollout, settle_rollout
from tasks.rollout_evidence import see
from tasks.run import Run
from tasks.step import step
from tasks.withdrawal import withdraw


def watch_rollout(run: Run, api: ErrorRate | None = None) -> dict[str, Any] | None:
    """Judge what runs, a stage before a promotion or a probation; None where nothing does."""
    settle_rollout(run)
    with reading(run.engine) as connection:
        stage = rollouts.running(connection, run.name, BEFORE)
        probation = rollouts.running(connection, run.name, PROBATION)
    told: dict[str, Any] = {}
    if probation is not None:
        told["probation"] = _watch_probation(run, probation)
    if stage is not None:
        told[stage.stage] = _watch_stage(run, stage, api)
    return told or None


def _watch_stage(run: Run, stage: Row[Any], api: ErrorRate | None) -> str:
    errors = None
    if api is not None and api.is_high:
        errors = f"{percent(api.share)} of requests are answered with an error"
    try:
        verdict = judge(run, stage, errors)
    except BundleError as error:
        # The champion's, which reconcile and the servers tell of.
        logger.warning("{}: {} cannot be judged now: {}", run.name, stage.stage, error)
        return f"cannot be judged now: {error}"
    if verdict.outcome == "failed":
        withdraw(run, stage, verdict.reason)
    elif verdict.outcome == "passed":
        _go_on(run, stage, verdict)
    return verdict.reason


def _go_on(run: Run, stage: Row[Any], verdict: StageVerdict) -> Released:
    """The next stage that the policy asks for, or the promotion."""
    stages = stages_of(run.problem.rollout)
    if stage.stage == "shadow" and "canary" in stages:
        return begin_stage(run, stage.version, "canary", verdict.reason)
    return finish_rollout(run, stage, verdict.reason)


def _watch_probation(run: Run, probation: Row[Any]) -> str:
    pointer = read_pointer(run.store, run.name)
    if pointer is None or pointer.bundle != probation.bundle:
        reason = f"version {probation.version} does not answer any more"
        with run.commit() as connection:
            end_probation(connection, run, "ended", reason)
        return reason
    try:
        verdict = judge(run, probation, None)
    except BundleError as error:
        reason = f"version {probation.against} cannot be compared with: {error}"
        with run.commit() as connection:
            end_probation(connection, run, "ended", reason)
        return reason
    if verdict.outcome == "failed":
        roll_back_probation(run, probation, verdict.reason)
    elif verdict.outcome == "passed":
        with run.commit() as connection:
            end_probation(connection, run, "passed", verdict.reason)
            alert = alert_rollout.probation_passed(str(probation.version), verdict.reason)
            run.alert(connection, alert, str(probation.generation))
    return verdict.reason


@step("judge a stage of the rollout")
def judge(run: Run, stage: Row[Any], errors: str | None) -> StageVerdict:
    """The verdict on a running stage, kept with what was seen."""
    seen, looked = see(run, stage, errors)
    verdict = judge_stage(stage.stage, seen, run.problem.rollout)
    looks = list(stage.evidence.get("looks", ()))
    if seen.look is not None:
        looks.append(asdict(seen.look))
    with run.commit() as connection:
        evidence = {**verdict.numbers, "looked": asdict(looked), "looks": looks}
        rollouts.note_seen(connection, stage.id, verdict.reason, evidence)
        history = rollouts.history(connection, run.name, 20)
    reach("rollout.evidence_kept")
    show_rollout(run, history)
    return verdict


@step("roll back after probation", retries=True)
def roll_back_probation(run: Run, probation: Row[Any], reason: str) -> Released:
    """Serve the former champion again, since labels say that it is better."""
    with reading(run.engine) as connection:
        begun = releases.pending_releases(connection, run.name)
    mine = next((release for release in begun if release.version == probation.against), None)
    if mine is None:
        pointer = read_pointer(run.store, run.name)
        with run.commit() as connection:
            end_probation(connection, run, "failed", reason)
            alert = alert_rollout.probation_failed(
                str(probation.version), str(probation.against), reason
            )
            run.alert(connection, alert, str(probation.generation))
            generation = releases.begin_release(
                connection, run.name, probation.against, probation.against_bundle, "rollback",
                reason, run.now, 0 if pointer is None else pointer.generation,
            )  # fmt: skip
        reach("rollout.way_back_begun")
    else:
        generation = mine.generation
    released = carry_out(
        run, generation, probation.against, probation.against_bundle, "rollback", reason
    )
    if released.state == "rolled_back_to":
        with run.commit() as connection:
            models.update_version(
                connection, run.name, probation.version, state="archived", reason=reason
            )
    return released
