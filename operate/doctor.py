"""Checks of this installation, each with what to do when it fails."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import httpx
from rich.console import Console
from rich.table import Column, Table
from sqlalchemy import text

from learning.lightgbm_trees import why_no_lightgbm
from settings import Settings
from storage import models
from storage.bundles import BundleError, read_bundle
from storage.channels import Channel, find_channel
from storage.database import open_engine, reading
from storage.pointers import acknowledgements, read_pointer
from storage.problems import ProblemError, every_of, load_problem, problem_folders
from storage.runs import last_runs
from tasks.senders import senders_of

LEAST_FREE_GB = 1.0
# Two connections that checkpoint a WAL at once can corrupt it in these versions.
SOUND_SQLITE = (3, 51, 3)
STALE_MINUTES = 10.0

Verdict = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, what was found, and what to do about it."""

    check: str
    verdict: Verdict
    found: str
    to_do: str = ""


def examine(settings: Settings) -> list[Finding]:
    """All findings, in the order in which a person would look."""
    findings = [_python(), _lightgbm(), _home(settings), _disk(settings)]
    findings += [_sqlite(settings), _database(settings)]
    for name in settings.active:
        findings += list(_problem(settings, name))
    findings += [_mlflow(settings), _prefect(settings), _api(settings), *_alerts(settings)]
    return findings


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """For programs; ``ok`` is false when any check found a problem."""
    return {
        "ok": all(finding.verdict != "problem" for finding in findings),
        "checks": [asdict(finding) for finding in findings],
    }


def show(findings: list[Finding], console: Console) -> None:
    """The findings as a table."""
    styles = {"ok": "green", "warning": "yellow", "problem": "red"}
    table = Table("check", "", Column("found", overflow="fold"), "what to do")
    for finding in findings:
        style = styles[finding.verdict]
        found, to_do = (part.replace("[", r"\[") for part in (finding.found, finding.to_do))
        table.add_row(finding.check, f"[{style}]{finding.verdict}[/{style}]", found, to_do)
    console.print(table)


def _python() -> Finding:
    return Finding("Python", "ok", ".".join(map(str, sys.version_info[:3])))


def _lightgbm() -> Finding:
    if (why := why_no_lightgbm()) is not None:
        to_do = (
            "until it can be loaded, scikit-learn's boosting stands in for it; "
            "apt install libgomp1, or brew install libomp"
        )
        return Finding("LightGBM", "warning", why, to_do)
    return Finding("LightGBM", "ok", metadata.version("lightgbm"))


def _home(settings: Settings) -> Finding:
    home = settings.home
    if not os.access(_nearest(home), os.W_OK):
        to_do = "make it writable, or set PERENNIAL_HOME"
        return Finding("home folder", "problem", f"{home} cannot be written", to_do)
    return Finding("home folder", "ok", str(home))


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(_nearest(settings.home)).free / 1e9
    if free < LEAST_FREE_GB:
        return Finding("disk", "problem", f"{free:.1f} GB free", "free some space")
    return Finding("disk", "ok", f"{free:.1f} GB free")


def _sqlite(settings: Settings) -> Finding:
    if not settings.sql_url.startswith("sqlite"):
        return Finding("SQLite", "ok", "not used")
    version = sqlite3.sqlite_version
    if tuple(map(int, version.split("."))) < SOUND_SQLITE:
        to_do = "a rare WAL bug is mended from 3.51.3 on: keep backups, or use PostgreSQL"
        return Finding("SQLite", "warning", version, to_do)
    return Finding("SQLite", "ok", version)


def _database(settings: Settings) -> Finding:
    try:
        engine = open_engine(settings.sql_url)
        with reading(engine) as connection:
            head = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        engine.dispose()
    except Exception as error:
        to_do = "run any flow once (`perennial run ingest`), or check PERENNIAL_DATABASE_URL"
        return Finding("database", "problem", type(error).__name__, to_do)
    return Finding("database", "ok", f"{engine.dialect.name}, tables at revision {head}")


def _problem(settings: Settings, name: str) -> Iterator[Finding]:
    try:
        load_problem(name, problem_folders(settings))
    except ProblemError as error:
        yield Finding(f"{name}: file", "problem", str(error), "mend the file, or PERENNIAL_ACTIVE")
        return
    yield Finding(f"{name}: file", "ok", "read")
    yield _guarded(f"{name}: served model", lambda: _served(settings, name))
    yield _guarded(f"{name}: loop", lambda: _loop(settings, name))


def _guarded(check: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except Exception as error:
        return Finding(check, "problem", type(error).__name__, "see the database check")


def _served(settings: Settings, name: str) -> Finding:
    check = f"{name}: served model"
    pointer = read_pointer(settings.store, name)
    if pointer is None:
        to_do = "put labelled rows into the inbox and let the loop run"
        return Finding(check, "warning", "none was promoted yet", to_do)
    try:
        read_bundle(settings.store, name, pointer.bundle)
    except BundleError as error:
        to_do = "roll back: `perennial rollback --reason …`"
        return Finding(check, "problem", str(error), to_do)
    engine = open_engine(settings.sql_url)
    with reading(engine) as connection:
        champion = models.champion(connection, name)
    engine.dispose()
    if champion is None or str(champion.version) != pointer.version:
        found = f"version {pointer.version} is served, the tables say otherwise"
        return Finding(check, "warning", found, "the loop's next run brings them together")
    n_servers = len(acknowledgements(settings.store, name))
    return Finding(check, "ok", f"version {pointer.version}, {n_servers} servers follow it")


def _loop(settings: Settings, name: str) -> Finding:
    check = f"{name}: loop"
    engine = open_engine(settings.sql_url)
    with reading(engine) as connection:
        last = last_runs(connection, name).get("continual")
    engine.dispose()
    if last is None:
        return Finding(check, "warning", "never ran", "start it: `make up`")
    if last["state"] == "failed":
        return Finding(check, "problem", str(last["reason"]), "see the worker's log")
    minutes = (datetime.now(UTC) - last["started_at"]).total_seconds() / 60
    every = every_of(name, problem_folders(settings)).total_seconds() / 60
    if minutes > STALE_MINUTES + 2 * every:
        return Finding(check, "warning", f"last run {minutes:.0f} minutes ago", "start `make up`")
    return Finding(check, "ok", f"last run {minutes:.1f} minutes ago")


def _mlflow(settings: Settings) -> Finding:
    if settings.mlflow_uri is None:
        address = f"http://127.0.0.1:{settings.mlflow_port}"
    else:
        address = settings.mlflow_uri
    return _answers("MLflow", f"{address}/health", "training goes on and is recorded later")


def _prefect(settings: Settings) -> Finding:
    address = settings.prefect_api_url or f"http://127.0.0.1:{settings.prefect_port}/api"
    return _answers("Prefect", f"{address}/health", "predictions go on, the loop waits")


def _api(settings: Settings) -> Finding:
    address = f"http://127.0.0.1:{settings.api_port}/health/live"
    return _answers("API", address, "nothing is answered")


def _answers(check: str, address: str, meaning: str) -> Finding:
    try:
        httpx.get(address, timeout=3.0).raise_for_status()
    except httpx.HTTPError as error:
        found = f"{address}: {type(error).__name__}"
        return Finding(check, "warning", found, f"start it with `make up`; meanwhile {meaning}")
    return Finding(check, "ok", address)


def _alerts(settings: Settings) -> list[Finding]:
    """Each channel of alerts that has an address, or one word that there is none."""
    names = [sender.name for sender in senders_of(settings)]
    if not names:
        return [Finding("alerts", "ok", "no channel is set; they go to the log and the status")]
    try:
        engine = open_engine(settings.sql_url)
        with reading(engine) as connection:
            found = {name: find_channel(connection, name) for name in names}
        engine.dispose()
    except Exception as error:
        return [Finding("alerts", "warning", type(error).__name__, "see the database check")]
    return [_channel(name, channel) for name, channel in found.items()]


def _channel(name: str, channel: Channel | None) -> Finding:
    check = f"alerts by {name}"
    if channel is not None and not channel.is_enabled:
        to_do = "mend the setting that it names; the next alert tries it"
        return Finding(check, "problem", f"switched off: {channel.reason}", to_do)
    return Finding(check, "ok", "an address is set")


def _nearest(path: Path) -> Path:
    """The nearest existing folder above a path."""
    return path if path.exists() else _nearest(path.parent)
