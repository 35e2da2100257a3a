"""A replay decides as the loop itself does on the same rows; and what is stored can be replayed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.replay import replay
from learning.onnx_export import run_graph
from learning.problem import Problem
from learning.replay import open_policy
from learning.replay_record import PolicyState
from learning.replay_stream import Stream, make_stream
from learning.replay_workshop import Workshop
from learning.rows import EVENT_TIME, LABEL, Rows, Schema, encode, encode_features
from learning.spans import Span
from settings import Settings
from storage.database import open_engine
from storage.predictions import store_records
from storage.problems import load_problem, problem_folders
from storage.records import FeedbackItem, FeedbackRecord, PredictionRecord
from storage.tables import decisions, models
from tasks.champion import load_champion
from tests.factories import (
    FEATURES,
    START,
    drop,
    rows_of,
    small_rows,
    small_run,
    small_settings,
    tick,
)

BATCH, N_ROWS = 100, 800


def history() -> pd.DataFrame:
    """The world turns, and turns back."""
    parts = small_rows(0, 300), small_rows(300, 300, turned=True), small_rows(600, 200)
    return pd.concat(parts, ignore_index=True)


def answer(settings: Settings, frame: pd.DataFrame, row: int) -> bool:
    """Predict rows by the champion as the API would, with their labels at once; False without."""
    with small_run(settings, row) as run:
        champion = load_champion(run)
    if champion is None:
        return False
    output = run_graph(champion.graph, encode_features(frame, champion.schema.features))
    records, items = [], []
    for chances, (_, one) in zip(output.tolist(), frame.iterrows(), strict=True):
        created = one["when"].to_pydatetime()
        said = "yes" if chances[1] >= (champion.manifest.threshold or 0.5) else "no"
        records.append(
            PredictionRecord(
                "small", f"p-{one['row_id']}", str(champion.version), one["row_id"], created,
                [one[name] for name in FEATURES], said, chances, b"{}", created,
            )
        )  # fmt: skip
        items.append(FeedbackItem(f"p-{one['row_id']}", one["label"], created))
    engine = open_engine(settings.sql_url)
    store_records(engine, records)
    store_records(engine, [FeedbackRecord("small", items, None, START + timedelta(minutes=row))])
    engine.dispose()
    return True


RETRAIN = {
    "min_new_rows": 50,
    "cooldown": "0s",
    "daily_budget": 50,
    "circuit_pause": "0s",
    "violations": 1,
}


def test_a_replay_decides_as_the_loop_does(tmp_path: Path) -> None:
    small = small_settings(tmp_path / "home", retrain=RETRAIN)
    frame = history()
    for first in range(0, N_ROWS, BATCH):
        block = frame.iloc[first : first + BATCH]
        if first < 200 or not answer(small, block, first):
            drop(small, block, f"{first}.parquet")
        if first + BATCH < N_ROWS:
            tick(small, first + BATCH - 1)
    problem = load_problem("small", problem_folders(small))
    state, stream = replayed(problem, frame)
    trained = [
        (trial.attempt.clock, trial.attempt.trigger, trial.attempt.state) for trial in state.trials
    ]
    decided = [row for row in rows_of(small, decisions) if row.kind == "retrain" and row.go]
    made = {row.run_id: row for row in rows_of(small, models)}
    served = {"champion": "promoted", "archived": "promoted"}
    assert trained == [
        (row.clock, row.trigger, served.get(made[row.run_id].state, made[row.run_id].state))
        for row in decided
        if row.run_id in made
    ]
    # Where nothing was trained, a former champion came back.
    back = [row.clock for row in decided if row.run_id not in made]
    assert back == [stream.clock(one.position) for one in state.returns]
    assert len(back) == 1
    assert [one[2] for one in trained].count("promoted") == 2


def replayed(problem: Problem, frame: pd.DataFrame) -> tuple[PolicyState, Stream]:
    rows = encoded(problem, frame)
    stream = make_stream(rows, Schema.of(problem), Span.parse(0), BATCH)
    policy = open_policy(Workshop(stream, problem, lambda: 0.0), "auto")
    for _ in policy.run():
        pass
    assert not np.isnan(policy.state.output[-1]).any()
    return policy.state, stream


def encoded(problem: Problem, frame: pd.DataFrame) -> Rows:
    return encode(frame.rename(columns={"when": EVENT_TIME, "label": LABEL}), Schema.of(problem))


def test_what_is_stored_is_replayed_by_the_flow(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(small, small_rows(0, 500), "history.parquet")
    tick(small, 500)
    monkeypatch.setattr("flows.replay.get_settings", lambda: small)
    found = replay.fn("small", ["never"])["small"]
    assert found["rows"] == 500
    assert list(found["policies"]) == ["never", "no_change", "majority"]
    assert (small.home / "replay" / "small" / "report.html").read_text().startswith("<!doctype")
