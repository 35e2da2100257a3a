"""Which retraining policy would have paid? `auto` beside fixed policies and stream learners.

By default on the first rows of each stream, so that it ends in minutes; ``--full`` takes all.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.replay_streams import Case, cases
from benchmarks.replay_table import table
from learning.metrics import LOWER_IS_BETTER, gain
from learning.replay import conclude, make_plan, open_policy, run_yardstick
from learning.replay_policies import is_yardstick
from learning.replay_result import Answers, answers_of
from learning.replay_table import as_json
from learning.replay_workshop import Workshop

RESULTS = Path(__file__).resolve().parent / "results"
POLICIES = ("never", "every:1000", "always", "auto", "river:arf")
DELAYS = (0, 500)
MOST_ROWS, LEARNER_ROWS = 3_000, 1_500
MOST_SECONDS = 400.0


def main(is_full: bool) -> None:
    """Run all streams at both delays and write the results after each."""
    began, found, left_out = time.monotonic(), list[dict[str, Any]](), list[str]()
    for case in cases():
        for delay in DELAYS:
            if not is_full and time.monotonic() - began > MOST_SECONDS:
                left_out.append(f"{case.name} at label delay {delay}")
                continue
            found.append(measure(case, delay, None if is_full else MOST_ROWS, is_full))
            _write({"streams": found, "left_out": left_out, "is_full": is_full})
            sys.stdout.write(f"{json.dumps(found[-1]['policies'])}\n")
            sys.stdout.flush()
    _write({"streams": found, "left_out": left_out, "is_full": is_full})


def measure(case: Case, delay: int, most: int | None, is_full: bool) -> dict[str, Any]:
    """One stream at one delay: each policy's figures, and whether `auto` is where it should be."""
    problem, stream, n_whole = case.load(delay, most)
    plan = make_plan(
        stream, problem, POLICIES, learner_rows=len(stream) if is_full else LEARNER_ROWS
    )
    shop, answers = Workshop(stream, problem, time.process_time), list[Answers]()
    for name in plan.policies:
        if is_yardstick(name):
            steps = run_yardstick(stream, name, plan.learner_rows, 0, time.process_time)
            answers += [step for step in steps if isinstance(step, Answers)]
            continue
        policy = open_policy(shop, name)
        for _ in policy.run():
            pass
        answers.append(answers_of(name, policy.state))
    document = as_json(conclude(plan, [answers]))
    short = {name: _short(one) for name, one in document["policies"].items()}
    learner = next(one for one in answers if one.name == "river:arf")
    told = {
        "stream": case.name, "label_delay_rows": delay, "rows": len(stream), "of_rows": n_whole,
        "task": document["task"], "metric": document["metric"], "policies": short,
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
    names = ("metric", "retrains", "promotions", "cpu_seconds", "rows_per_second", "regret", "rows")
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
    main("--full" in sys.argv)
