"""Named moments at which a process may be killed: right behind each durable step of the loop.

``PERENNIAL_KILL_AT=NAME`` makes a process kill itself when it gets there, as ``kill -9`` would;
tests use it to see that the next turn finishes what was left.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from storage.values import StorageError

POINTS: dict[str, str] = {
    "run.begun": "the run stands in the table of runs",
    "run.ended": "the run's end is written, its lease is still held",
    "ingest.schema_kept": "the schema of a first batch is kept, its rows are not",
    "ingest.rows_appended": "rows are in the Delta table, their batch is not noted",
    "ingest.batch_noted": "the batch is noted, its file still lies in the inbox",
    "ingest.file_moved": "the file has left the inbox",
    "ingest.feedback_claimed": "feedback belongs to a batch that has no rows yet",
    "ingest.labels_kept": "labels wait for rows, their file still lies in the inbox",
    "ingest.labels_claimed": "labels belong to a batch that has no rows yet",
    "monitor.drift_saved": "the drift result is stored",
    "monitor.performance_saved": "the live performance is stored",
    "monitor.estimate_saved": "the estimated performance is stored",
    "monitor.decision_saved": "the decision to retrain is stored, nothing is trained",
    "retrain.version_begun": "a version number is taken",
    "retrain.run_opened": "MLflow has a run that our tables do not know",
    "export.bundle_drafted": "a bundle's files are written, but under a draft's name",
    "export.bundle_written": "the bundle stands there, no table names it",
    "export.files_written": "evaluation and charts are written",
    "export.candidate_noted": "the version is a candidate that nobody has judged",
    "gate.verdict_kept": "the verdict is stored, the champion is the former one",
    "promote.begun": "a release is pending, the pointer has not moved",
    "promote.act_written": "the act's file is written, the pointer has not moved",
    "promote.pointer_moved": "the pointer has moved, the release is pending",
    "swap.bundle_loaded": "a server has loaded the bundle, the former model answers",
    "swap.answering": "a server answers with the new model and has told nobody",
    "swap.acknowledged": "a server has said so, and not noted it for its own restart",
    "swap.servers_followed": "all servers answer with the new model, the release is pending",
    "promote.crowned": "the release is closed and the champion is the new one",
    "promote.refusal_noted": "servers refused the bundle, the pointer still names it",
    "promote.way_back_begun": "the way back is pending, the pointer names the refused bundle",
    "rollout.stage_begun": "a stage is begun, the pointer does not name its candidate",
    "rollout.candidate_pointed": "the pointer names the candidate, servers have not said so",
    "rollout.stage_open": "the stage is open and told of",
    "rollout.evidence_kept": "what a stage has seen is kept, nothing follows from it yet",
    "rollout.passed": "the last stage is passed and the promotion pending",
    "rollout.failed": "a stage has failed, the pointer still names its candidate",
    "rollout.candidate_withdrawn": "the pointer names the candidate no more",
    "rollout.way_back_begun": "probation has failed, the way back is pending",
    "register.files_logged": "MLflow has the run's files, and no version",
    "register.version_made": "MLflow has a version that our tables do not know",
    "register.version_noted": "our tables know the version, its alias has not moved",
    "register.alias_moved": "MLflow's champion is ours",
    "alert.claimed": "an alert is taken for a channel, and not sent",
    "alert.sent": "the channel has the alert, the outbox does not know",
    "alert.settled": "the outbox knows that the channel has the alert",
}


def die() -> None:
    """End this process as ``kill -9`` does: no cleaning up, no last words."""
    os.kill(os.getpid(), signal.SIGKILL)


_armed: str | None = None
_end: Callable[[], None] = die


def arm(name: str | None, end: Callable[[], None] = die) -> None:
    """Let ``end`` be called when this process reaches a point; None disarms.

    Raises StorageError for a name that is no point.
    """
    global _armed, _end
    if name is not None and name not in POINTS:
        raise StorageError(
            f"PERENNIAL_KILL_AT: found {name!r}; expected one of {', '.join(sorted(POINTS))}"
        )
    _armed, _end = name, end


def reach(name: str) -> None:
    """Say that a point is reached; nothing happens unless it is armed."""
    if name == _armed:
        _end()
