"""What the demo reckons with: stories, promises, wrong versions; and its real clients."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from operate.demo_data import DemoError, Story, own_story, shipped_story
from operate.demo_result import (
    Ledger,
    Outputs,
    alarm_times,
    decisions,
    no_change_outputs,
    score,
    system_outputs,
    wrong_versions,
)
from operate.demo_traffic import Answer, Traffic

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def write_rows(path: Path, n: int = 600, **columns: Any) -> Path:
    rng = np.random.default_rng(1)
    x = rng.normal(size=n)
    frame = pd.DataFrame({"x": x, "y": (x + rng.normal(size=n) > 0).astype(int), **columns})
    frame.to_csv(path, index=False)
    return path


def answer(index: int, version: str | None, begin: float, end: float, **body: Any) -> Answer:
    return Answer(index, begin, end, 200 if version else 503, version, body)


def act(version: int, begin: float, acknowledged: float | None) -> Any:
    def at(seconds: float) -> datetime:
        return datetime.fromtimestamp(seconds, UTC)

    known = None if acknowledged is None else at(acknowledged)
    return SimpleNamespace(version=version, started_at=at(begin), acknowledged_at=known)


def test_the_shipped_story_drifts_in_its_stream_and_not_before() -> None:
    story = shipped_story()
    assert len(story) == 8_000
    assert story.drift_row is not None
    assert story.n_first == 1_600 < story.drift_row < len(story)
    assert story.times.is_monotonic_increasing
    assert set(story.request(0)) == {"features", "event_time", "key"}


def test_an_own_file_is_put_in_its_time_order(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=600, freq="h").astype(str)[::-1]
    story = own_story(write_rows(tmp_path / "a.csv", when=days), "y", "when", None, ())
    assert story.times.is_monotonic_increasing
    assert story.schema.task == "binary"
    assert (story.n_first, story.drift_row) == (120, None)
    assert [feature.name for feature in story.schema.features] == ["x"]


@pytest.mark.parametrize(
    ("n", "labels", "why"),
    [(300, None, "the demo needs 500"), (600, "sorted", "one class of 'y' only")],
)
def test_a_story_that_cannot_be_told_is_refused(
    tmp_path: Path, n: int, labels: str | None, why: str
) -> None:
    path = write_rows(tmp_path / "a.csv", n)
    if labels == "sorted":
        pd.read_csv(path).sort_values("y").to_csv(path, index=False)
    with pytest.raises(DemoError, match=why):
        own_story(path, "y", None, None, ())


def test_a_version_is_current_from_its_begin_until_the_next_is_acknowledged() -> None:
    acts = [act(1, 10, 11), act(2, 20, 25), act(3, 30, None)]
    answers = {
        0: answer(0, "1", 12, 13),
        1: answer(1, "1", 24.9, 26),  # began before version 2 was acknowledged
        2: answer(2, "1", 25.1, 26),  # wrong: version 2 was acknowledged
        3: answer(3, "2", 19, 21),
        4: answer(4, "2", 18, 19.5),  # wrong: version 2 was not begun
        5: answer(5, "2", 40, 41),  # version 3 was never acknowledged
        6: answer(6, None, 40, 41),  # a failure has no version
    }
    assert wrong_versions(answers, acts) == 2


def drift_row(is_drifted: bool, version: str, hour: int) -> Any:
    clock = NOON + timedelta(hours=hour)
    return SimpleNamespace(is_drifted=is_drifted, model_version=version, clock=clock)


def test_alarms_in_a_row_of_one_champion_are_one_incident() -> None:
    checks = [(False, "1"), (True, "1"), (True, "1"), (True, "2"), (False, "2"), (True, "2")]
    rows = [drift_row(drifted, version, i) for i, (drifted, version) in enumerate(checks)]
    ledger = Ledger(rows, [], [], [], [], 0.0)
    assert alarm_times(ledger) == [NOON + timedelta(hours=h) for h in (1, 3, 5)]


def test_a_challenger_that_nobody_could_judge_was_not_refused() -> None:
    def model(version: int, state: str) -> Any:
        return SimpleNamespace(
            version=version, clock=NOON, run_id=f"r{version}", reason="why", state=state
        )

    def verdict(version: int, outcome: str) -> Any:
        evidence = {"version": version, "outcome": outcome}
        return SimpleNamespace(evidence=evidence, go=outcome == "promote", reason=outcome)

    models = [model(1, "champion"), model(2, "refused"), model(3, "superseded"), model(4, "failed")]
    gate = [verdict(1, "promote"), verdict(2, "refuse"), verdict(3, "inconclusive")]
    told = decisions(Ledger([], models, [], gate, [], 0.0))
    assert [one["outcome"] for one in told] == ["promoted", "refused", "undecided", "failed"]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return own_story(write_rows(tmp_path / "a.csv"), "y", None, None, ())


def test_no_change_answers_with_the_last_label_that_had_arrived(story: Story) -> None:
    said = no_change_outputs(story).values[:, 1]
    first_seen = story.n_first - story.delay_rows - 1
    assert said[0] == story.rows.y[first_seen]
    assert said[-1] == story.rows.y[len(story) - 1 - story.delay_rows - 1]


def test_failed_rows_do_not_count_in_the_score(story: Story) -> None:
    y = story.rows.y[story.n_first :]
    right = np.column_stack([1 - y, y])
    right[:50] = np.nan
    assert score(story, Outputs(right, np.full(len(y), 0.5))) == 1.0


class _Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    predicted: list[dict[str, Any]]
    fed_back: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/feedback":
            self.fed_back.extend(body["items"])
            self._send({"accepted": len(body["items"])})
            return
        self.predicted.append(body)
        name = f"p{len(self.predicted)}"
        answer = {"prediction_id": name, "prediction": 1, "probability": 0.75}
        self._send({**answer, "model_version": "1"})

    def _send(self, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def fake_api() -> Iterator[tuple[int, type[_Api]]]:
    handler = type("Api", (_Api,), {"predicted": [], "fed_back": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_address[1], handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_clients_send_each_row_once_and_each_label_after_its_delay(story: Story) -> None:
    with fake_api() as (port, api):
        traffic = Traffic(story, port, "token")
        traffic.start()
        traffic.allow(story.n_first + 100, None)
        traffic.wait_for(story.n_first + 100)
        n_labels = len(api.fed_back)
        traffic.allow(len(story), None)
        traffic.wait_for(len(story))
        traffic.stop()
    assert len(api.predicted) == len(story) - story.n_first == len(traffic.answers)
    assert n_labels == 100 - story.delay_rows
    assert len({item["prediction_id"] for item in api.fed_back}) == len(api.fed_back)
    assert len(api.fed_back) == len(story) - story.n_first - story.delay_rows
    assert traffic.seen() == ("1", 0)
    said = system_outputs(story, traffic.answers)
    assert (said.values[:, 1] == 0.75).all()
    assert (said.thresholds <= 0.75).all()


def test_a_server_that_is_gone_is_counted_as_failures(story: Story) -> None:
    with fake_api() as (port, _):
        pass
    traffic = Traffic(story, port, "token")
    traffic.start()
    traffic.allow(story.n_first + 5, None)
    traffic.wait_for(story.n_first + 5)
    traffic.stop()
    assert traffic.seen() == (None, 5)
    assert np.isnan(system_outputs(story, traffic.answers).values).all()
