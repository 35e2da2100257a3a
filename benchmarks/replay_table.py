"""The replay benchmark as a table for people."""

from __future__ import annotations

import statistics
from typing import Any

from learning.metrics import LOWER_IS_BETTER, gain

FIXED, RETRAINED = ("never", "every:1000", "always"), ("auto", "always")
HEAD = (
    "| stream | delay | rows | metric | never | every 1,000 | always | auto | no change "
    "| ARF | auto on its rows | retrains auto / always | CPU s auto "
    "| rows/s auto / ARF |\n"
    "|---|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
)
REACH = {
    "within_margin": "`auto` within 0.003 (1% of an error) of the best fixed policy, or ahead",
    "at_most_half_the_retrains": "at most half the retrains of `always`",
    "ahead_of_forest": "ahead of river's adaptive random forest on the rows that both answered",
    "five_times_its_rows": "five times its rows a second, or more",
    "few_needless_retrains": "where nothing drifts, at most one retrain in 20 turns that the gate "
    "refused",
}


def table(result: dict[str, Any]) -> str:
    """Markdown of one run."""
    streams = result["streams"]
    parts = ["# Replay: `auto` beside fixed policies and a stream learner\n\n", _what(result), HEAD]
    parts += [_line(one) for one in streams]
    parts.append("\n## Where `auto` stands\n\n")
    for key, words in REACH.items():
        known = [one for one in streams if one["reach"][key] is not None]
        missed = [_name(one) for one in known if not one["reach"][key]]
        parts.append(f"- {words}: {len(known) - len(missed)} of {len(known)}")
        parts.append(f"; not on {', '.join(missed)}\n" if missed else "\n")
    parts.append(_on_average(streams))
    trivial = [_name(one) for one in streams if one["reach"]["trivial_is_better"]]
    if trivial:
        parts.append(
            "\nSaying the last known or the commonest label beats every policy, in the metric or "
            f"in accuracy, on {', '.join(trivial)}.\n"
        )
    for name in result["left_out"]:
        parts.append(f"\nNot measured: {name}.\n")
    return "".join(parts)


def _on_average(streams: list[dict[str, Any]]) -> str:
    """How far `auto` is from the best fixed policy in hindsight, and with how many retrains."""
    gaps: dict[bool, list[float]] = {True: [], False: []}
    for one in streams:
        metric, policies = one["metric"], one["policies"]
        values = [policies[name]["metric"] for name in FIXED]
        is_error = metric in LOWER_IS_BETTER
        best = min(values) if is_error else max(values)
        ahead = gain(metric, policies["auto"]["metric"], best)
        gaps[is_error].append(100 * ahead / best if is_error else ahead)
    scores, errors = gaps[False], gaps[True]
    retrains = [sum(one["policies"][name]["retrains"] for one in streams) for name in RETRAINED]
    said = list[str]()
    if scores:
        mean = statistics.mean(scores)
        said.append(f"{mean:+.4f} in ROC AUC or accuracy ({len(scores)} cells)")
    if errors:
        said.append(f"{statistics.mean(errors):+.1f}% of an error ({len(errors)})")
    return (
        f"- on average against the best fixed policy in hindsight: {', '.join(said)}, with "
        f"{retrains[0]} retrains where `always` has {retrains[1]}\n"
    )


def _what(result: dict[str, Any]) -> str:
    size = "All rows of each stream."
    if result["rows"] is not None:
        size = (
            f"The first {result['rows']:,} rows of each stream (`--full` takes all); the stream "
            "learner on fewer."
        )
    return (
        f"{size} Each row is answered before its label is known, and labels come `delay` rows "
        "late. `never`, `every 1,000`, `always` and `auto` share search and gate and differ in "
        "when they train; `auto` asks former champions first. CPU seconds are those of the policy "
        "alone.\n\n"
    )


def _name(one: dict[str, Any]) -> str:
    return f"{one['stream']} (delay {one['label_delay_rows']})"


def _line(one: dict[str, Any]) -> str:
    policies, equal = one["policies"], one["equal_rows"]
    names = ("never", "every:1000", "always", "auto", "no_change")
    values = " | ".join(_number(policies[name]["metric"]) for name in names)
    auto, forest = policies["auto"], policies["river:arf"]
    same = [_number(equal[name]["metric"]) if equal else "" for name in ("river:arf", "auto")]
    return (
        f"| {one['stream']} | {one['label_delay_rows']} | {one['rows']:,} of {one['of_rows']:,} "
        f"| {one['metric']} | {values} | {same[0]} | {same[1]} "
        f"| {auto['retrains']} / {policies['always']['retrains']} | {auto['cpu_seconds']:.1f} "
        f"| {auto['rows_per_second']:,.0f} / {forest['rows_per_second']:,.0f} |\n"
    )


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4g}" if value > 10 else f"{value:.4f}"
