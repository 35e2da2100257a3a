"""What an installation is doing: for a person and for a program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection, Row

from learning.alert_rules import CHANNELS
from operate.status_live import live_facts, live_lines
from operate.status_sources import source_facts, source_lines
from settings import Settings
from storage import models, outbox, reports, rollouts, runs
from storage.channels import find_channel
from storage.database import open_engine, reading, upgrade
from storage.leases import problems_run
from storage.pointers import Pointer, acknowledgements, read_pointer
from storage.problems import list_problems, load_problem, problem_folders
from storage.quarantine import count_waiting
from tasks.senders import senders_of

NEWEST_ALERTS = 8
SEE_ROWS = "perennial quarantine list"


def read_status(settings: Settings, problem: str | None) -> dict[str, Any]:
    """Champion, live metric, drift, last runs, servers and alerts of each problem.

    Without a name: the active ones, then those that were run by hand in this home.
    """
    with tables_of(settings, problem) as connection:
        names = (problem,) if problem else (*settings.active, *_by_hand(settings, connection))
        found = [_problem(settings, connection, name) for name in names]
        channels = {name: _channel(settings, connection, name) for name in CHANNELS}
    return {"problems": found, "discord": channels["discord"], "channels": channels}


def _by_hand(settings: Settings, connection: Connection) -> list[str]:
    """Problems that were run here and have a file, though neither loop nor API takes them up."""
    known = set(list_problems(problem_folders(settings))) - set(settings.active)
    return [name for name in problems_run(connection) if name in known]


def _channel(settings: Settings, connection: Connection, name: str) -> dict[str, Any]:
    """Whether a channel tells alerts, how many wait for it, and why it is off if it is."""
    channel = find_channel(connection, name)
    is_set = name in {sender.name for sender in senders_of(settings)}
    told: dict[str, Any] = {
        "is_set": is_set,
        "is_enabled": is_set and (channel is None or channel.is_enabled),
        "waiting": outbox.count_waiting(connection, (name,)),
    }
    if is_set and channel is not None and channel.reason:
        told["reason"] = channel.reason
    return told


@contextmanager
def tables_of(settings: Settings, problem: str | None) -> Iterator[Connection]:
    """The tables, brought up to date; a problem that is not known is told as such."""
    if problem is not None:
        load_problem(problem, problem_folders(settings))
    upgrade(settings.sql_url)
    engine = open_engine(settings.sql_url)
    try:
        with reading(engine) as connection:
            yield connection
    finally:
        engine.dispose()


def _problem(settings: Settings, connection: Connection, name: str) -> dict[str, Any]:
    champion = models.champion(connection, name)
    drift = reports.latest_drift(connection, name)
    decided = reports.decisions_of(connection, name, "retrain", 1)
    stages = (
        rollouts.running(connection, name, rollouts.BEFORE_PROMOTION),
        rollouts.running(connection, name, ("probation",)),
    )
    judged = reports.decisions_of(connection, name, "gate", 1)
    waiting = models.waiting(connection, name)
    pointer, is_damaged = _pointer(settings, name)
    servers = acknowledgements(settings.store, name)
    last = runs.last_runs(connection, name)
    return {
        "name": name,
        "is_active": name in settings.active,
        "champion": None
        if champion is None
        else {
            "version": champion.version,
            "sha256": champion.sha256,
            "trained_at": champion.trained_at,
        },
        "generation": None if pointer is None else pointer.generation,
        "servers": len(servers),
        **live_facts(connection, name, None if champion is None else champion.version),
        "drift_share": None if drift is None else drift.drift_share,
        "drift": None if drift is None else drift.reason,
        "is_drifted": drift is not None and drift.is_drifted,
        "watched": _watched(connection, name, drift),
        "drift_report": _report(settings, name, drift),
        "decision": decided[0].reason if decided else None,
        "rollout": [_stage(row) for row in stages if row is not None],
        "gate": judged[0].reason if judged else None,
        "waiting": None if waiting is None else waiting.version,
        "quarantine": {"waiting": count_waiting(connection, name)},
        **source_facts(settings, connection, name),
        "last_runs": last,
        "alerts": [_alert(entry) for entry in outbox.latest(connection, name, NEWEST_ALERTS)],
        "health": _health(champion is not None, last)
        if not is_damaged
        else "failing: the file that says what is served is damaged; the loop's next run mends it",
    }


def _stage(row: Row[Any]) -> dict[str, Any]:
    names = ("stage", "version", "against", "share", "reason", "clock")
    return {name: row._mapping[name] for name in names}


def _stage_lines(stages: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for stage in stages:
        what = f"version {stage['version']} beside {stage['against']}"
        yield stage["stage"], f"{what}: {stage['reason']}"


def _watched(connection: Connection, name: str, drift: Any) -> dict[str, Any]:
    """What the latest check saw beside single features; the joint check is made less often."""
    joint = reports.latest_joint(connection, name)
    latest = {} if drift is None else drift.watched or {}
    return {**latest, **({} if joint is None else {"joint": joint.watched["joint"]})}


def _report(settings: Settings, name: str, drift: Any) -> str | None:
    """Where the latest drift document is read, if there is one."""
    if drift is None or drift.report is None or settings.api_base is None:
        return None
    return f"{settings.api_base}/problems/{name}/drift/report"


def _pointer(settings: Settings, name: str) -> tuple[Pointer | None, bool]:
    try:
        return read_pointer(settings.store, name), False
    except msgspec.MsgspecError:
        return None, True


def _alert(entry: outbox.Entry) -> dict[str, Any]:
    return {
        "kind": entry.alert.kind,
        "phase": entry.phase,
        "severity": entry.alert.severity,
        "title": entry.alert.title,
        "created_at": entry.created_at,
        "state": entry.state,
    }


def _health(has_champion: bool, last: dict[str, dict[str, Any]]) -> str:
    newest = max(last.values(), key=lambda run: run["started_at"], default=None)
    if newest is not None and newest["state"] == "failed":
        return f"failing: {newest['reason']}"
    return "ok" if has_champion else "no champion yet"


def _watched_lines(watched: dict[str, Any]) -> Iterator[tuple[str, str]]:
    groups = watched.get("groups") or []
    if groups:
        counted = (
            f"{g['name']} {g['status']} ({g['n_drifted']}/{g['n_testable']})" for g in groups
        )
        yield "groups", ", ".join(counted)
    for sentence in watched.get("sentences", ()):
        what, _, words = sentence.partition(": ")
        yield what, words.replace("[", r"\[")
    if "joint" in watched:
        yield "jointly", watched["joint"]["reason"].replace("[", r"\[")


def show_status(found: dict[str, Any], console: Console) -> None:
    """The status, for a person."""
    for problem in found["problems"]:
        console.print(_table(problem))
        for alert in problem["alerts"]:
            line = f"{alert['created_at']:%m-%d %H:%M:%S} {alert['severity']:8} {alert['title']}"
            console.print(line, markup=False)
    for name, channel in found["channels"].items():
        console.print(f"alerts by {name}: {_spoken(channel)}", markup=False)


def _table(problem: dict[str, Any]) -> Table:
    champion, name = problem["champion"], problem["name"]
    table = Table(title=name, show_header=False, title_justify="left", caption_justify="left")
    if not problem["is_active"]:
        table.caption = f"only by hand; PERENNIAL_ACTIVE={name} has the loop run it"
    if champion is None:
        table.add_row("champion", "none yet: put labelled rows into the inbox")
    else:
        table.add_row(
            "champion",
            f"version {champion['version']}, trained {champion['trained_at']:%Y-%m-%d %H:%M}",
        )
    table.add_row("health", escape(problem["health"]))
    table.add_row("servers", str(problem["servers"]))
    table.add_row("drift", escape(problem["drift"] or "not checked yet"))
    for what, words in _watched_lines(problem["watched"]):
        table.add_row(what, words)
    if problem["drift_report"]:
        table.add_row("drift report", problem["drift_report"])
    for label, text in live_lines(problem):
        table.add_row(escape(label), escape(text))
    table.add_row("decision", escape(problem["decision"] or "none yet"))
    for label, text in _further_lines(problem):
        table.add_row(escape(label), escape(text))
    return table


def _further_lines(problem: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The gate, what waits, stages of a rollout, sources and the last run of each flow."""
    if problem["gate"]:
        yield "gate", _gate(problem)
    if waiting := problem["quarantine"]["waiting"]:
        yield "quarantine", f"{waiting} rows wait: {SEE_ROWS} --problem {problem['name']}"
    yield from _stage_lines(problem["rollout"])
    yield from source_lines(problem)
    for flow, last in problem["last_runs"].items():
        text = f"{last['state']} at {last['started_at']:%Y-%m-%d %H:%M:%S}"
        yield f"last {flow}", f"{text} {last['reason'] or ''}".strip()


def _gate(problem: dict[str, Any]) -> str:
    """What the gate said last, and which version waits for more rows."""
    waiting = problem["waiting"]
    waits = "" if waiting is None else f"version {waiting} waits; "
    return waits + str(problem["gate"])


def _spoken(channel: dict[str, Any]) -> str:
    if channel["is_enabled"]:
        return f"on, {channel['waiting']} waiting"
    return f"off ({channel.get('reason') or 'no address is set'})"
