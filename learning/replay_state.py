"""A policy's state as plain values, to be kept in a file and gone on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from learning.attempts import Attempt
from learning.decision_windows import read_looks, write_looks
from learning.estimate import EstimateResult
from learning.replay_record import Alarm, PolicyState, Return, Trial
from learning.replay_result import Answers
from learning.replay_workshop import TrainingKey
from learning.rows import Floats

Arrays = dict[str, Floats]


def write_state(state: PolicyState) -> tuple[Arrays, dict[str, Any]]:
    """The state's arrays, and all else as JSON holds it."""
    arrays = {"output": state.output, "thresholds": state.thresholds}
    last = state.estimate
    rest = {
        "position": state.position,
        "trials": [_write_trial(trial) for trial in state.trials],
        "served": state.served,
        "since": state.since,
        "looks": write_looks(state.looks),
        "alarms": [asdict(alarm) for alarm in state.alarms],
        "sounding": sorted(state.sounding),
        "estimate": None if last is None else [last[0], asdict(last[1])],
        "seconds": state.seconds,
        "expected": state.expected,
        "returns": [asdict(back) for back in state.returns],
    }
    return arrays, rest


def read_state(arrays: Mapping[str, Floats], rest: Mapping[str, Any]) -> PolicyState:
    """The state that `write_state` took apart. Raises KeyError or TypeError for anything else."""
    last = rest["estimate"]
    return PolicyState(
        position=rest["position"],
        output=arrays["output"],
        thresholds=arrays["thresholds"],
        trials=tuple(_read_trial(trial) for trial in rest["trials"]),
        served=rest["served"],
        since=rest["since"],
        looks=read_looks(rest["looks"]),
        alarms=tuple(Alarm(**alarm) for alarm in rest["alarms"]),
        sounding=frozenset(rest["sounding"]),
        estimate=None if last is None else (last[0], EstimateResult(**last[1])),
        seconds=rest["seconds"],
        expected=rest["expected"],
        returns=tuple(Return(**back) for back in rest["returns"]),
    )


def write_yardstick(answers: Answers) -> tuple[Arrays, dict[str, Any]]:
    """A yardstick's answers, which is all that there is of it."""
    arrays = {"output": answers.output, "thresholds": answers.thresholds}
    return arrays, {"seconds": answers.seconds}


def read_yardstick(name: str, arrays: Mapping[str, Floats], rest: Mapping[str, Any]) -> Answers:
    """The answers that `write_yardstick` took apart."""
    return Answers(name, arrays["output"], arrays["thresholds"], rest["seconds"], False)


def _write_trial(trial: Trial) -> dict[str, Any]:
    plain = asdict(trial)
    plain["attempt"]["clock"] = trial.attempt.clock.isoformat()
    return plain


def _read_trial(plain: Mapping[str, Any]) -> Trial:
    clock = datetime.fromisoformat(plain["attempt"]["clock"])
    attempt = Attempt(**{**plain["attempt"], "clock": clock})
    return Trial(**{**plain, "attempt": attempt, "key": TrainingKey(**plain["key"])})
