"""Which retraining policy would have paid? `auto` beside fixed policies and stream learners.

By default on the first rows of each stream, so that it ends in minutes; ``--rows`` takes more of
them and ``--full`` all (some ten minutes). What is not done after so many CPU ``--seconds``
is left out, and told.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.replay_streams import Case, cases
from benchmarks.replay_table import table
from learning.metrics import LOWER_IS_BETTER, gain
from learning.replay import ReplayError, conclude, make_plan, open_policy, run_yardstick
from learning.replay_policies import is_yardstick
from learning.replay_result import Answers, answers_of
from learning.replay_table import as_json
from learning.replay_workshop import Workshop

RESULTS = Path(__file__).resolve().parent / "results"
POLICIES = ("never", "every:1000", "always", "auto", "river:arf")
DELAYS = (0, 500)
MOST_ROWS, LEARNER_ROWS = 4_000, 2_000
MOST_SECONDS = 280.0


class OutOfTimeError(Exception):
    """The time for all streams is used up."""


def main(rows: int | None, seconds: float) -> None:
    """Run all streams at both delays and write the results after each."""
    began, found, left_out = time.process_time(), list[dict[str, Any]](), list[str]()

    def check() -> None:
        if time.process_time() - began > seconds:
            raise OutOfTimeError

    for delay in DELAYS:
        for case in cases():
            try:
                found.append(measure(case, delay, rows, check))
            except (OutOfTimeError, ReplayError) as error:
                why = "time was up" if isinstance(error, OutOfTimeError) else str(error)
                left_out.append(f"{case.name} at label delay {delay}: {why}")
                continue
            _write({"streams": found, "left_out": left_out, "rows": rows})
            sys.stdout.write(f"{case.name} {delay} {json.dumps(found[-1]['policies'])}\n")
            sys.stdout.flush()
    _write({"streams": found, "left_out": left_out, "rows": rows})


def measure(
    case: Case, delay: int, most: int | None, check: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """One stream at one delay: each policy's figures, and whether `auto` is where it should be.

    ``check`` is called between turns and may end it.
    """
    check()
    problem, stream, n_whole = case.load(delay, most)
    learner_rows = len(stream) if most is None else LEARNER_ROWS
    plan = make_plan(stream, problem, POLICIES, learner_rows=learner_rows)
    shop, answers = Workshop(stream, problem, time.process_time), list[Answers]()
    for name in plan.policies:
        if is_yardstick(name):
            for step in run_yardstick(stream, name, plan.learner_rows, 0, time.process_time):
                check()
                answers += [step] if isinstance(step, Answers) else []
            continue
        policy = open_policy(shop, name)
        for _ in policy.run():
            check()
        answers.append(answers_of(name, policy.state))
    document = as_json(conclude(plan, [answers]))
    short = {name: _short(one) for name, one in document["policies"].items()}
    learner = next(one for one in answers if one.name == "river:arf")
    told = {
        "stream": case.name, "label_delay_rows": delay, "rows": len(stream), "of_rows": n_whole,
        "task": document["task"], "metric": document["metric"], "policies": short,
        "turns": len(stream.positions), "is_steady": stream.drift_rows == (),
        "equal_rows": _at_equal_rows(plan, answers, learner),
    }  # fmt: skip
    return {**told, "reach": reach(told), "recommendation": document["recommendation"]}


def _at_equal_rows(plan: Any, answers: list[Answers], learner: Answers) -> dict[str, Any]:
    """The metric and accuracy of `auto` and the forest over the rows that both answered."""
    from dataclasses import replace

    import numpy as np

    known = ~np.isnan(learner.output[:, :1])
    limited = [
        replace(one, output=np.where(known, one.output, np.nan))
        for one in answers
        if one.name in ("auto", "river:arf")
    ]
    try:
        document = as_json(conclude(plan, [limited]))
    except ValueError:
        return {}
    return {name: _short(one) for name, one in document["policies"].items()}


def _short(one: dict[str, Any]) -> dict[str, Any]:
    names = (
        "metric",
        "retrains",
        "promotions",
        "refusals",
        "cpu_seconds",
        "rows_per_second",
        "regret",
        "rows",
    )
    short = {name: one[name] for name in names}
    return {**short, "accuracy": one["metrics"].get("accuracy")}


def reach(told: dict[str, Any]) -> dict[str, bool | None]:
    """Whether `auto` is near the best policy, trains little and beats the forest."""
    policies, metric = told["policies"], told["metric"]
    auto, fixed = policies["auto"], [policies[n] for n in ("never", "every:1000", "always")]
    best = max(fixed, key=lambda one: gain(metric, one["metric"], 0.0))["metric"]
    margin = 0.01 * best if metric in LOWER_IS_BETTER else 0.003
    equal = told["equal_rows"]
    return {
        "within_margin": gain(metric, auto["metric"], best) >= -margin,
        "at_most_half_the_retrains": 2 * auto["retrains"] <= policies["always"]["retrains"],
        "ahead_of_forest": gain(metric, equal["auto"]["metric"], equal["river:arf"]["metric"]) >= 0
        if equal
        else None,
        "five_times_its_rows": auto["rows_per_second"]
        >= 5 * policies["river:arf"]["rows_per_second"],
        "few_needless_retrains": 20 * auto["refusals"] <= told["turns"]
        if told["is_steady"]
        else None,
        "trivial_is_better": _is_trivial_better(policies, metric),
    }


def _is_trivial_better(policies: dict[str, Any], metric: str) -> bool:
    best = [one for name, one in policies.items() if not is_yardstick(name)]
    for name in ("no_change", "majority"):
        for figure in (metric, "accuracy"):
            theirs = policies[name].get("metric" if figure == metric else figure)
            ours = [one.get("metric" if figure == metric else figure) for one in best]
            if theirs is not None and all(
                o is not None and gain(figure, theirs, o) > 0 for o in ours
            ):
                return True
    return False


def _write(result: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "replay.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "replay.md").write_text(table(result))


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="The replay benchmark.")
    options.add_argument("--full", action="store_true", help="all rows of each stream")
    options.add_argument("--rows", type=int, default=MOST_ROWS, help="first rows of each stream")
    options.add_argument("--seconds", type=float, help="of CPU, in all; no limit with --full")
    given = options.parse_args()
    usual = math.inf if given.full else MOST_SECONDS
    main(None if given.full else given.rows, given.seconds or usual)
