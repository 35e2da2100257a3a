"""Writes docs/alert-examples.md and its pictures from the payloads of the channels."""

from __future__ import annotations

import base64
import json
import re
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from learning import alert_text as say  # noqa: E402
from learning.alert import Alert, Phase  # noqa: E402
from learning.alert_rules import AlertRules  # noqa: E402
from learning.charts import metric_chart  # noqa: E402
from learning.error_rate import judge_errors  # noqa: E402
from learning.phrases import DriftedFeature, Gain  # noqa: E402
from learning.reversals import Reversal, describe_reversal  # noqa: E402
from storage.outbox import PREFIXES, Entry  # noqa: E402
from tasks.discord import compose  # noqa: E402
from tasks.mail import MailServer  # noqa: E402
from tasks.mail import compose as compose_mail  # noqa: E402
from tasks.sending import Link, Message  # noqa: E402
from tasks.webhook import document  # noqa: E402

TARGET = ROOT / "docs" / "alert-examples.md"
FOLDER = ROOT / "docs" / "alerts"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WIDTH, LINE = 620, 20
INTRODUCTION = """\
# What alerts look like

The numbers are made up, the words are not: this page and its pictures are made from the payloads
that the channels are sent, by `python docs/make_alert_examples.py`. When each alert is told, and
what to do about it: [alerts.md](alerts.md).
"""


def examples() -> dict[str, Message]:
    """One message for each kind of trouble and of good news that a reader meets first."""
    worst = [
        DriftedFeature("tenure_months", "KS", 0.41, 1e-12),
        DriftedFeature("contract", "V", 0.28, 3e-7),
        DriftedFeature("monthly_charges", "KS", 0.19, 0.0004),
    ]
    drift = say.drift_found(3, 0.24, 5, 21, 0.1, worst)
    low = say.performance_below_floor(3, "roc_auc", 0.741, (0.712, 0.769), 0.802, 1000)
    gain = Gain("roc_auc", 0.0623, 0.0311, 0.0935, 0.95)
    rules = AlertRules()
    report = Link("Drift report", "https://api.example.org/problems/churn/drift/report")
    run = Link("Prefect run", "https://prefect.example.org/runs/flow-run/5b1f7d1e")
    mlflow = Link("MLflow", "https://mlflow.example.org/#/models/perennial-churn/versions/4")
    reversal = Reversal("tenure_months ≤ 14", 312, 0.154, 688, 0.861)
    missing = "BatchRefusedError: column 'contract' is missing"
    return {
        "drift opened": _message(drift, "opened", (report, run), _drift_picture()),
        "drift still open": _message(drift, "still_open", (report, run)),
        "drift over": _message(
            say.drift_over(4, 0.0, "drift_share 0 ≤ 0.1: 0 of 21 features"), "closed", (report, run)
        ),
        "performance below floor": _message(low, "opened", (run,), _performance_picture()),
        "promoted": _message(
            say.promoted(3, 4, gain, "Better than version 3 on 500 rows that neither has seen"),
            "event",
            (run, mlflow),
        ),
        "champion damaged": _message(
            say.champion_damaged(
                3, "sha256", "bundle 5e0c9f41d2aa: model.onnx is not the one described"
            ),
            "opened",
            (run,),
        ),
        "labels contradict": _message(
            say.labels_contradict(3, describe_reversal(reversal, "champion 3"), False), "event"
        ),
        "API errors": _message(
            say.errors_high(judge_errors(1840, 46, rules), rules.error_share, 300.0), "opened"
        ),
        "a flow failed": _message(say.failed("ingest", missing, {"contract"}), "opened", (run,)),
        "quarantine": _message(
            say.batch_ingested("inbox/march.csv", 9_310, 42, {"tenure_months: below 0": 42}),
            "event",
            (run,),
        ),
    }


def _message(
    alert: Alert, phase: Phase, links: tuple[Link, ...] = (), picture: bytes | None = None
) -> Message:
    told = Alert(
        alert.kind,
        alert.severity,
        PREFIXES.get(phase, "") + alert.title,
        alert.text,
        {**alert.fields, **({"Open for": "6 h 0 min"} if phase == "still_open" else {})},
        alert.incident,
    )
    event_id = f"0f8e4c1a:{alert.kind}"
    return Message(Entry(1, event_id, "churn", told, phase, 0, "waiting", NOW, NOW), links, picture)


def _drift_picture() -> bytes:
    shares = [0.0, 0.0, 0.05, 0.0, 0.05, 0.05, 0.1, 0.1, 0.19, 0.24]
    return metric_chart("drift share", _times(len(shares)), shares, None, 0.1)


def _performance_picture() -> bytes:
    values = [0.851, 0.848, 0.853, 0.846, 0.84, 0.822, 0.801, 0.779, 0.76, 0.741]
    band = ([value - 0.028 for value in values], [value + 0.028 for value in values])
    return metric_chart("roc_auc", _times(len(values)), values, band, 0.802)


def _times(n: int) -> list[datetime]:
    return [NOW - timedelta(hours=n - 1 - hour) for hour in range(n)]


def page(found: dict[str, Message]) -> str:
    """The page: each embed as a picture, and one alert as mail and as JSON."""
    parts = [INTRODUCTION, "## In Discord\n"]
    for name, message in found.items():
        described = shown(message.entry.alert.text).replace("\n", " ")
        parts.append(f"![{name}: {described}](alerts/{_file(name)})\n")
    first = next(iter(found.values()))
    server = MailServer("mail.example.org", 587, "perennial@example.org", ("ada@example.org",))
    mail = compose_mail(Message(first.entry, first.links), server)
    headers = "\n".join(f"{name}: {mail[name]}" for name in ("Subject", "From", "To"))
    parts += ["## By e-mail\n", f"```text\n{headers}\n\n{mail.get_content().strip()}\n```\n"]
    body = json.dumps(document(first), indent=2, ensure_ascii=False)
    return "\n".join([*parts, "## To a webhook\n", f"```json\n{body}\n```\n"])


def drawing(message: Message) -> str:
    """An SVG of the embed in the payload, about as Discord shows it."""
    embed = compose(message)
    y, parts = 30, [_text(16, 30, embed["title"], 16, "bold")]
    y += 26
    for line in shown(embed["description"]).splitlines():
        for piece in textwrap.wrap(line, 84):
            parts.append(_text(16, y, piece))
            y += LINE
    y += 8
    for row in _rows(embed["fields"]):
        for column, field in enumerate(row):
            x = 16 + column * 196
            parts += [_text(x, y, field["name"], 13, "bold")]
            parts += [_text(x, y + 18, _links_as_words(field["value"]), 13)]
        y += 46
    if message.picture is not None:
        data = base64.b64encode(message.picture).decode()
        where = f'x="16" y="{y}" width="560" height="243"'
        parts.append(f'<image {where} href="data:image/png;base64,{data}"/>')
        y += 260
    stamp = datetime.fromisoformat(embed["timestamp"]).strftime("%d.%m.%Y %H:%M")
    parts.append(_text(16, y, f"{embed['footer']['text']} · {stamp}", 12, colour="#949ba4"))
    height = y + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="Helvetica, Arial, sans-serif">'
        f'<rect width="{WIDTH}" height="{height}" rx="4" fill="#2b2d31"/>'
        f'<rect width="5" height="{height}" rx="2" fill="#{embed["color"]:06x}"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _rows(fields: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Up to three short fields beside each other, a long one alone."""
    rows: list[list[dict[str, Any]]] = []
    for field in fields:
        last = rows[-1] if rows else []
        if last and field["inline"] and last[-1]["inline"] and len(last) < 3:
            last.append(field)
        else:
            rows.append([field])
    return rows


def shown(text: str) -> str:
    """Discord's text as a person sees it: escapes undone."""
    return re.sub(r"\\([^\w\s])|\\(_)", lambda found: found[1] or found[2], text)


def _links_as_words(text: str) -> str:
    return shown(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1 ↗", text))


def _text(
    x: int, y: int, text: str, size: int = 14, weight: str = "normal", colour: str = "#dbdee1"
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" fill="{colour}"'
    return f'<text x="{x}" y="{y}" {style}>{escape(shown(text))}</text>'


def _file(name: str) -> str:
    return f"{name.lower().replace(' ', '-')}.svg"


def main() -> None:
    """Write the page and its pictures."""
    found: dict[str, Any] = examples()
    FOLDER.mkdir(exist_ok=True)
    for name, message in found.items():
        (FOLDER / _file(name)).write_text(drawing(message), encoding="utf-8")
    TARGET.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
