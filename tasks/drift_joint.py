"""Watch all inputs at once: can a classifier tell what arrives now from the training rows?"""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from loguru import logger
from sqlalchemy import Row

from learning.drift_joint import JointDrift, check_joint
from learning.drift_outputs import INPUTS
from learning.drift_reference import median_inflation
from storage import reports
from storage.database import reading
from tasks.artifacts import show_joint
from tasks.champion import load_champion
from tasks.drift import current_window
from tasks.drift_outputs import references_of
from tasks.run import Run
from tasks.step import step

JOINT_EVERY = timedelta(hours=1)


@step("check all features at once")
def watch_joint(run: Run) -> JointDrift | None:
    """Ask a classifier whether it can tell the windows apart, after the decision has been made.

    When the verdict of this run's check turned, or the last joint check is `JOINT_EVERY` old; it
    takes a second or two, alarms nobody and never fails the run.
    """
    with reading(run.engine) as connection:
        result = reports.drift_of_run(connection, run.run_id)
        last = reports.latest_joint(connection, run.name)
    if result is None or result.drift_share is None or not _is_joint_due(result, last):
        return None
    checked = load_champion(run, int(result.model_version))
    if checked is None:
        return None
    current = current_window(run, checked)
    inflation = median_inflation(references_of(checked)[INPUTS], len(current))
    try:
        joint = check_joint(checked.reference, current.x, checked.schema.features, inflation)
    except ValueError as error:  # what a classifier cannot take is no reason to fail
        logger.warning("{}: no joint check: {}", run.name, error)
        return None
    with run.commit() as connection:
        reports.attach_joint(connection, run.run_id, asdict(joint))
    show_joint(run, joint)
    return joint


def _is_joint_due(result: Row[Any], last: Row[Any] | None) -> bool:
    if last is None or last.model_version != result.model_version:
        return True
    if last.is_drifted != result.is_drifted:
        return True
    return bool(result.clock - last.clock >= JOINT_EVERY)
