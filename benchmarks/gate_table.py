"""The gate's benchmark as tables that a person can read."""

from __future__ import annotations

from typing import Any

from scipy import stats


def bounds(n_hits: int, n_trials: int) -> tuple[float, float]:
    """Lower and upper bound of a share, each at 95% (Clopper and Pearson 1934)."""
    low = 0.0 if n_hits == 0 else float(stats.beta.ppf(0.05, n_hits, n_trials - n_hits + 1))
    high = 1.0 if n_hits == n_trials else float(stats.beta.ppf(0.95, n_hits + 1, n_trials - n_hits))
    return low, high


def as_text(result: dict[str, Any]) -> str:
    """The tables as Markdown."""
    return "\n".join([*_kinds(result), "", *_attacks(result)]) + "\n"


def _kinds(result: dict[str, Any]) -> list[str]:
    lines = [
        f"{len(result['data'])} populations ({', '.join(result['data'])}), ROC AUC, margin "
        f"{result['margin']:g}; {result['cpu_seconds']:.0f} CPU seconds.",
        "",
        "| challenger is truly | trials | promoted | 95% bounds | required | holds "
        "| rows judged, median |",
        "|---|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {row['challenger']} | {row['trials']:,} | {row['promoted']:.2%} "
        f"| {row['low']:.2%} to {row['high']:.2%} | {row['required']} | {_yes(row['holds'])} "
        f"| {row['median_rows']:,.0f} |"
        for row in result["kinds"]
    ]


def _attacks(result: dict[str, Any]) -> list[str]:
    lines = [
        "Labels from `/feedback`, a logistic regression fitted on them. *Worse*: by more than the "
        "margin on the whole population. *Left out*: the share of the attacked rows "
        "that was found and named. *On attacked rows*: promoted although some of those were among "
        "the rows that trained or judged it. *Told*: the verdict says that the labels of one part "
        "contradict the champion; with `trust.reversals: hold` those wait for a person, and the "
        "share that is promoted is the one in brackets.",
        "",
        "| attack | labels also come from elsewhere | trials | truly worse | worse promoted "
        "(95% bound) | promoted | on attacked rows | left out | told | true gain, median "
        "| required | holds |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    return lines + [_attack(row) for row in result["attacks"]]


def _attack(row: dict[str, Any]) -> str:
    promoted = f"{row['promoted']:.1%}{_held(row)}"
    left_out = "" if row["left_out"] is None else f"{row['left_out']:.1%}"
    gain = "none" if row["median_true_gain"] is None else f"{row['median_true_gain']:+.4f}"
    return (
        f"| {row['name']} | {'yes' if row['has_trusted'] else 'no'} | {row['trials']} "
        f"| {row['truly_worse']} | {row['worse_promoted']} (≤ {row['worse_promoted_high']:.1%}) "
        f"| {promoted} | {row['promoted_on_attacked_rows']:.1%} | {left_out} "
        f"| {row['told']:.1%} | {gain} "
        f"| {row['required'] or ''} | {_yes(row['holds'])} |"
    )


def _held(row: dict[str, Any]) -> str:
    return f" ({row['promoted_if_held']:.1%})" if row["told"] else ""


def _yes(holds: bool | None) -> str:
    return "" if holds is None else "yes" if holds else "**no**"
