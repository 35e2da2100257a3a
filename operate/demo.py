"""The demo: the whole story live, on a shipped problem or on a person's own file."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from textwrap import shorten
from typing import Any

import stamina.instrumentation
from pydantic import SecretStr
from rich.console import Console

from operate.demo_data import DemoError, Story, own_story, shipped_story
from operate.demo_report import write_page
from operate.demo_result import read_ledger, summarise
from operate.demo_ticks import Ticks
from operate.demo_traffic import Traffic
from operate.demo_view import View, show_summary
from operate.stack import Stack
from operate.stack_host import free_port, is_port_taken
from operate.stack_services import prefect_api_url
from settings import Settings, get_settings
from storage import outbox, reports
from storage.bundles import write_atomically
from storage.database import dump_json, open_engine, reading
from storage.pointers import read_pointer
from storage.problems import write_problem
from tasks.ingest_inbox import inbox_folder

RATE_DURING_TICK = 60.0
SAID_LENGTH = 240


def run_demo(
    data: Path | None,
    target: str | None,
    event_time: str | None,
    key: str | None,
    drop: tuple[str, ...],
    home: Path | None,
    as_json: bool,
) -> int:
    """Run the demo; exit code 0 only if everything it promises was seen to happen."""
    if data is not None and target is None:
        raise DemoError("--target is missing: name the column to predict")
    if data is None and target is not None:
        raise DemoError("--data is missing: name the file that has this target")
    story = (
        own_story(data, target, event_time, key, drop)
        if data is not None and target is not None
        else shipped_story()
    )
    # A busy Prefect server is asked again quietly; what matters is told in the view.
    stamina.instrumentation.set_on_retry_hooks([])
    console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
    settings = demo_settings(story, home)
    result = tell(story, settings, console)
    if as_json:
        sys.stdout.write(dump_json(result) + "\n")
    else:
        show_summary(result, console)
    return 0 if result["ok"] else 1


def demo_settings(story: Story, home: Path | None) -> Settings:
    """Settings of a fresh home folder, on the usual ports where they are free."""
    base = get_settings()
    home = (home or base.home / "demo" / story.problem.name).resolve()
    if home.exists():
        _refuse_foreign_folder(home)
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / "demo.json").write_text("{}")
    ports = {
        name: port if not is_port_taken("127.0.0.1", port) else free_port()
        for name, port in (
            ("api_port", base.api_port),
            ("prefect_port", base.prefect_port),
            ("mlflow_port", base.mlflow_port),
        )
    }
    changes: dict[str, Any] = {
        "home": home,
        "problems": home / "problems",
        "active": (story.problem.name,),
        "clock": home / "clock",
        "database_url": None,
        "store_url": None,
        "mlflow_uri": None,
        "prefect_api_url": None,
        "api_host": "127.0.0.1",
        "api_token": SecretStr(secrets.token_urlsafe(32)),
        **ports,
    }
    return base.model_copy(update=changes)


def _refuse_foreign_folder(home: Path) -> None:
    if any(home.iterdir()) and not (home / "demo.json").exists():
        raise DemoError(f"{home} is not empty and not a demo's folder; choose another --home")


def tell(story: Story, settings: Settings, console: Console) -> dict[str, Any]:
    """Start everything, stream the story through it, and return what came of it."""
    name = story.problem.name
    write_problem(story.problem, settings.problems or settings.home)
    set_clock(settings, story.times.iloc[story.n_first - 1])
    inbox = inbox_folder(settings.home, name)
    inbox.mkdir(parents=True)
    for note in story.notes:
        console.print(f"· {note}", markup=False)
    console.print(
        f"starting Prefect, MLflow, the API and the worker; logs in {settings.home / 'logs'}"
    )

    def say(text: str) -> None:
        console.print(f"  {text}", markup=False)

    with Stack(settings, say, with_page=False):
        console.print(f"  Prefect UI http://127.0.0.1:{settings.prefect_port}", markup=False)
        story.frame.iloc[: story.n_first].to_parquet(inbox / "history.parquet", index=False)
        token = settings.api_token.get_secret_value() if settings.api_token else ""
        traffic = Traffic(story, settings.api_port, token)
        ticks = Ticks(prefect_api_url(settings))
        with View(f"perennial demo: {name}", len(story), console) as view:
            _stream(story, settings, traffic, ticks, view)
        ticks.close()
    engine = open_engine(settings.sql_url)
    ledger = read_ledger(engine, name)
    engine.dispose()
    report = settings.home / "demo.html"
    result = summarise(story, settings, traffic, ledger, str(report))
    report.write_text(write_page(story, settings, traffic, ledger, result), encoding="utf-8")
    (settings.home / "demo.json").write_text(json.dumps(json.loads(dump_json(result)), indent=1))
    return result


def set_clock(settings: Settings, time: datetime) -> None:
    """Let the loop's clock stand at a time of the stream."""
    assert settings.clock is not None
    write_atomically(settings.clock, time.isoformat().encode())


def _stream(
    story: Story,
    settings: Settings,
    traffic: Traffic,
    ticks: Ticks,
    view: View,
) -> None:
    name = story.problem.name
    with _told_alerts(settings, view) as tell_alerts:
        view.say(f"{story.n_first:,} rows of history go into the inbox; the loop bootstraps")
        ticks.run(name, tell_alerts)
        tell_alerts()
        _require_champion(settings, name)
        traffic.start()
        try:
            position = story.n_first
            while position < len(story):
                before, position = position, min(position + story.block_rows, len(story))
                traffic.allow(position, None)
                traffic.wait_for(position)
                set_clock(settings, story.times.iloc[position - 1])
                if story.drift_row is not None and before <= story.drift_row < position:
                    view.say(f"drift has begun at row {story.drift_row:,} (the loop is not told)")
                # Traffic goes on while the loop works, so that a swap happens under load.
                traffic.allow(position + story.block_rows // 2, RATE_DURING_TICK)
                tick = ticks.run(name, tell_alerts)
                tell_alerts()
                view.advance(traffic.n_sent, tick=f"{tick.seconds:.1f} s", **_figures(traffic))
            traffic.wait_for(len(story))
        finally:
            traffic.stop()
        view.advance(traffic.n_sent, **_figures(traffic))


def _require_champion(settings: Settings, name: str) -> None:
    """Raise DemoError when the first fifth of the rows gave no champion to stream to."""
    if read_pointer(settings.store, name) is not None:
        return
    engine = open_engine(settings.sql_url)
    with reading(engine) as connection:
        verdicts = reports.decisions_of(connection, name, "gate", 1)
    engine.dispose()
    why = verdicts[0].reason if verdicts else "no model could be trained"
    raise DemoError(f"the first fifth of the rows gave no champion: {why}")


def _figures(traffic: Traffic) -> dict[str, str]:
    version, n_failed = traffic.seen()
    return {"version": version or "none", "failed": str(n_failed)}


@contextmanager
def _told_alerts(settings: Settings, view: View) -> Iterator[Callable[[], None]]:
    """A function that shows alerts which are new in the outbox."""
    engine = open_engine(settings.sql_url)
    seen: set[str] = set()

    def tell_new() -> None:
        with reading(engine) as connection:
            entries = outbox.latest(connection, settings.active[0], 20)
        for entry in reversed(entries):
            if entry.event_id not in seen:
                seen.add(entry.event_id)
                found = entry.alert.text.partition("\n")[0]
                view.say(
                    shorten(f"{entry.alert.title}. {found}", SAID_LENGTH, placeholder=" …"),
                    entry.alert.severity,
                )

    yield tell_new
    engine.dispose()
