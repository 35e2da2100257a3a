"""What a kill interrupts, how it goes on, and what must be true then; for each kill point.

`python -m tests.tasks.killed FOLDER POINT…` kills one process per point with a real SIGKILL, in
the homes ``FOLDER/POINT``. It imports everything once and forks a child per point.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from flows.each import for_each
from flows.ingest import ingest_all
from settings import Settings
from storage import kill_points
from storage import observations as obs
from storage.bundles import read_bundle
from storage.database import open_engine, reading
from storage.ledger_check import check
from storage.pointers import read_pointer
from storage.tables import alerts, batches, models, releases, runs
from tasks.alerts import deliver
from tasks.reconcile import reconcile
from tasks.senders import senders_of
from tests.factories import (
    NOWHERE,
    START,
    drop,
    rows_of,
    serve_rows,
    small_rows,
    small_run,
    small_settings,
    tick,
)
from tests.factories_releases import release_next, server

ROW, N_ROWS = 770, 770
URL_FILE = "webhook-url"


def prepared(template: Path) -> Path:
    """A home with a champion whose next turn passes every step: rows, labels, drift, a swap."""
    settings = small_settings(template, gate=EASY_GATE)
    serve_rows(settings, small_rows(400, 350, turned=True), "1")
    late = small_rows(750, 20, turned=True)
    drop(settings, late.drop(columns="label"), "a-rows.csv")
    drop(settings, late[["row_id", "label"]], "b-labels.csv")
    return template


# What is killed here is the loop: its gate lets an equal challenger through.
EASY_GATE = {"min_rows": 30, "accept": "not_worse", "margin": 0.2}


@dataclass(frozen=True)
class Scenario:
    """``act`` is what is killed, ``finish`` what comes next, ``holds`` asserts what is true."""

    act: Callable[[Settings], object]
    finish: Callable[[Settings], object]
    holds: Callable[[Settings], None]


def settings_of(home: Path) -> Settings:
    """The home's settings: with MLflow or a webhook where its folder has them."""
    mlflow, url = home / "mlflow.db", home / URL_FILE
    if (home / "open").exists():
        return small_settings(home, gate=EASY_GATE, features=[], classes=[], task="auto")
    found = small_settings(
        home, gate=EASY_GATE, mlflow_uri=f"sqlite:///{mlflow}" if mlflow.exists() else NOWHERE
    )
    if url.exists():
        return found.model_copy(update={"webhook_url": SecretStr(url.read_text())})
    return found


def story_holds(settings: Settings) -> None:
    """Tables, pointer, bundles, observations and alerts say the same; the ledger is unbroken."""
    pointer = read_pointer(settings.store, "small")
    assert pointer is not None
    versions = {row.version: row for row in rows_of(settings, models)}
    champions = [row for row in versions.values() if row.state == "champion"]
    assert [str(row.version) for row in champions] == [pointer.version]
    served = [row for row in rows_of(settings, releases) if row.generation == pointer.generation]
    assert [(row.bundle, row.state) for row in served] == [(pointer.bundle, "promoted")]
    assert not {"training", "candidate", "challenger"} & {row.state for row in versions.values()}
    assert "pending" not in {row.state for row in rows_of(settings, releases)}
    assert "running" not in {row.state for row in rows_of(settings, runs)}
    for folder in (settings.store / "bundles" / "small").glob("[!.]*"):
        read_bundle(settings.store, "small", folder.name)
    rows_hold(settings)
    told = [row.title for row in rows_of(settings, alerts) if row.kind == "promoted"]
    assert told == [f"Promoted: version 1 → {pointer.version}"], told
    ledger_holds(settings)


def rows_hold(settings: Settings) -> None:
    """Each row is there once with its label, each batch noted once, the inbox empty."""
    frame = obs.read_observations(settings.store, "small")
    assert (len(frame), frame[obs.KEY].nunique()) == (N_ROWS, N_ROWS)
    assert frame[obs.LABEL].notna().all()
    assert sum(row.n_rows for row in rows_of(settings, batches)) == N_ROWS + 20
    assert not list((settings.home / "inbox" / "small").glob("*.csv"))


def ledger_holds(settings: Settings) -> None:
    """The ledger is unbroken and tells what the tables tell."""
    engine = open_engine(settings.sql_url)
    with reading(engine) as connection:
        found = check(connection)
    engine.dispose()
    assert found.is_whole, found


def record_holds(settings: Settings) -> None:
    """MLflow has each version that has a bundle once, and the champion's alias."""
    from mlflow import MlflowClient

    story_holds(settings)
    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    found = client.search_model_versions("name = 'perennial-small'")
    known = {row.mlflow_run_id: row for row in rows_of(settings, models) if row.bundle}
    assert sorted(one.run_id for one in found) == sorted(known)
    champion = client.get_model_version_by_alias("perennial-small", "champion")
    assert known[champion.run_id].state == "champion"


def deliver_late(settings: Settings) -> None:
    """A turn, and another when nobody can still be at what the dead had claimed."""
    tick(settings, ROW + 1)
    engine = open_engine(settings.sql_url)
    deliver(engine, senders_of(settings), datetime.now(UTC) + timedelta(seconds=90))
    engine.dispose()


def alerts_hold(settings: Settings) -> None:
    """Every alert since there is a webhook was sent through it."""
    story_holds(settings)
    since = START + timedelta(minutes=ROW)
    told = [row for row in rows_of(settings, alerts) if row.clock and row.clock >= since]
    assert "promoted" in {row.kind for row in told}
    assert {row.state for row in told} == {"sent"}


def refused(settings: Settings) -> None:
    """A second version is released that the server refuses."""
    with server(settings.store, refuses="golden"):
        release_next(settings)


def mend(settings: Settings) -> None:
    """The start of any run."""
    with server(settings.store), small_run(settings) as run:
        reconcile(run)


def way_back_holds(settings: Settings) -> None:
    """The first version is served again, the refused one told of once."""
    pointer = read_pointer(settings.store, "small")
    assert pointer is not None
    assert pointer.version == "1"
    assert "pending" not in {row.state for row in rows_of(settings, releases)}
    assert [row.kind for row in rows_of(settings, alerts)].count("bundle_refused") == 1
    ledger_holds(settings)


def released_holds(settings: Settings) -> None:
    """The second version is served, by one release that is told of once."""
    pointer = read_pointer(settings.store, "small")
    assert pointer is not None
    assert [(row.version, row.state) for row in rows_of(settings, releases)] == [
        (1, "promoted"),
        (2, "promoted"),
    ]
    assert (pointer.version, pointer.generation) == ("2", 2)
    assert [row.kind for row in rows_of(settings, alerts)].count("promoted") == 1
    ledger_holds(settings)


def take_in(settings: Settings) -> None:
    """Ingest what lies in the inbox."""
    for_each("ingest", "small", None, ingest_all, settings)


def first_batch_holds(settings: Settings) -> None:
    """The rows of the first batch are there once."""
    frame = obs.read_observations(settings.store, "small")
    assert (len(frame), frame[obs.KEY].nunique()) == (60, 60)


TURN = Scenario(lambda settings: tick(settings, ROW), lambda s: tick(s, ROW + 1), story_holds)
RECORD = Scenario(TURN.act, TURN.finish, record_holds)
TOLD = Scenario(TURN.act, deliver_late, alerts_hold)
REFUSED = Scenario(refused, mend, way_back_holds)
FIRST = Scenario(take_in, take_in, first_batch_holds)
INGEST = Scenario(take_in, take_in, rows_hold)
RELEASE = Scenario(release_next, mend, released_holds)
# Points that a server reaches, not the loop: see tests/api/test_swap_kill.py.
IN_SERVERS = ("swap.bundle_loaded", "swap.answering", "swap.acknowledged")
OWN = {
    "ingest.schema_kept": FIRST,
    "promote.refusal_noted": REFUSED,
    "promote.way_back_begun": REFUSED,
    "retrain.run_opened": RECORD,
    **{name: RECORD for name in kill_points.POINTS if name.startswith("register.")},
    **{name: TOLD for name in kill_points.POINTS if name.startswith("alert.")},
}
# Points of a rollout, which takes several turns: see tests/tasks/test_rollout_kill.py.
IN_ROLLOUT = tuple(name for name in kill_points.POINTS if name.startswith("rollout."))
LOOP = tuple(name for name in kill_points.POINTS if name not in {*IN_SERVERS, *IN_ROLLOUT})


def scenario_of(point: str, is_short: bool = False) -> Scenario:
    """What is killed at a point: a whole turn of the loop, or the part of it that gets there."""
    if is_short and point not in OWN:
        if point.startswith("ingest."):
            return INGEST
        if point.startswith(("promote.", "swap.")):
            return RELEASE
    return OWN.get(point, TURN)


def furnish(home: Path, scenario: Scenario, template: Path, mlflow: Path, url: str) -> None:
    """Make the home in which a scenario can be played."""
    if scenario is FIRST:
        home.mkdir(parents=True)
        (home / "open").touch()
        drop(settings_of(home), small_rows(0, 60), "first.csv")
    elif scenario in (REFUSED, RELEASE):
        release_next(small_settings(home))
    else:
        shutil.copytree(template, home)
    if scenario is RECORD:
        shutil.copyfile(mlflow, home / "mlflow.db")
    if scenario is TOLD:
        (home / URL_FILE).write_text(url)


def main(folder: Path, points: Sequence[str]) -> int:
    """Kill one process in each home ``folder/POINT`` at that point."""
    for module in ("mlflow", "onnxruntime", "skl2onnx", "sklearn.linear_model"):
        importlib.import_module(module)  # what a turn imports late
    for point in points:
        child = os.fork()
        if not child:
            kill_points.arm(point)
            scenario_of(point).act(settings_of(folder / point))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            sys.stderr.write(f"was not killed: {point}\n")
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), sys.argv[2:]))
