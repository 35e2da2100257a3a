"""What a replay found, for programs and as a table for people."""

from __future__ import annotations

import math
from typing import Any

from learning.replay import ReplayResult
from learning.replay_result import PolicyResult

HEAD = ("policy", "metric", "retrains", "promoted", "refused", "CPU s", "rows/s", "regret")


def as_json(result: ReplayResult) -> dict[str, Any]:
    """The contract's document, and what stands behind it."""
    return {
        "task": result.task,
        "metric": result.metric,
        "rows": result.n_rows,
        "label_delay_rows": result.delay_rows,
        "batch_rows": result.batch_rows,
        "policies": {one.name: _policy(one) for one in result.results},
        "best": result.advice.policy,
        "recommendation": result.advice.sentence,
        "settings": {key: _plain(value) for key, value in result.advice.settings.items()},
    }


def _policy(one: PolicyResult) -> dict[str, Any]:
    found: dict[str, Any] = {
        "metric": _known(one.metric),
        "retrains": one.retrains,
        "promotions": one.promotions,
        "refusals": one.refusals,
        "returns": [
            {"row": back.position, "made_at_row": back.made_at, "verdict": back.why}
            for back in one.returns
        ],
        "cpu_seconds": round(one.cpu_seconds, 3),
        "rows_per_second": _known(one.rows_per_second),
        "regret": _known(one.regret),
        "rows": one.n_rows,
        "cost": one.cost,
        "alarms": one.alarms,
        "training_seconds": round(sum(trial.seconds for trial in one.trials), 3),
        "metrics": {name: _known(value) for name, value in one.metrics.items()},
        "curve": [vars(point) for point in one.curve],
        "decisions": [
            {
                "row": trial.position,
                "clock": trial.attempt.clock.isoformat(),
                "trigger": trial.attempt.trigger,
                "outcome": trial.attempt.state,
                "why": trial.why,
                "verdict": trial.verdict,
                "seconds": round(trial.seconds, 3),
            }
            for trial in one.trials
        ],
    }
    if one.detection is not None:
        found["false_alarms"] = one.detection.false_alarms
        found["changes"] = [vars(change) for change in one.detection.changes]
    return found


def cells(result: ReplayResult) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and rows of the table; costs and known drift only where there are any."""
    has_costs = any(one.cost is not None for one in result.results)
    has_changes = any(one.detection is not None for one in result.results)
    costs = ("cost",) * has_costs
    changes = ("false alarms", "found after", "back after") * has_changes
    head = (HEAD[0], result.metric, *HEAD[2:], *costs, *changes)
    return head, [_cells(one, has_costs, has_changes) for one in result.results]


def _cells(one: PolicyResult, has_costs: bool, has_changes: bool) -> tuple[str, ...]:
    row = [
        one.name,
        number(one.metric),
        *(str(n) if one.is_policy else "" for n in (one.retrains, one.promotions, one.refusals)),
        f"{one.cpu_seconds:.1f}",
        f"{one.rows_per_second:,.0f}" if math.isfinite(one.rows_per_second) else "",
        f"{one.regret:+.4f}" if math.isfinite(one.regret) else "",
    ]
    if has_costs:
        row.append("" if one.cost is None else f"{one.cost:,.0f}")
    if has_changes:
        row += _change_cells(one)
    return tuple(row)


def _change_cells(one: PolicyResult) -> list[str]:
    if one.detection is None:
        return ["", "", ""]
    delays = [_rows(change.delay_rows) for change in one.detection.changes]
    backs = [_rows(change.recovery_rows) for change in one.detection.changes]
    return [str(one.detection.false_alarms), ", ".join(delays), ", ".join(backs)]


def _rows(n: int | None) -> str:
    return "never" if n is None else f"{n:,} rows"


def markdown(result: ReplayResult) -> str:
    """The table and the recommendation, as Prefect shows it."""
    head, rows = cells(result)
    lines = [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]
    return "\n".join([f"**{result.advice.sentence}**", "", facts(result), "", *lines])


def facts(result: ReplayResult) -> str:
    """What was replayed, in one sentence."""
    return (
        f"{result.n_rows:,} rows, {result.task}, labels {result.delay_rows:,} rows late, "
        f"a turn of the loop every {result.batch_rows} rows"
    )


def number(value: float) -> str:
    """Four digits behind the point, or nothing where there is no number."""
    return f"{value:.4f}" if math.isfinite(value) else "n/a"


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
