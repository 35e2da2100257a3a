"""What a server answered is counted where the loop reads it, and errors become one alert."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.metrics import Metrics
from api.traffic import SAMPLE_SECONDS, Traffic
from settings import Settings
from storage.pointers import Acknowledgement, Pointer, acknowledge, move_pointer
from storage.tables import alerts
from storage.traffic import OLD_SECONDS, Sample, count_window, leave_samples, remove_old_samples
from tasks.servers import watch_servers
from tests.api.servers import running
from tests.factories import rows_of, small_run, small_settings

HOUR = 3600.0


def test_only_answers_to_people_count_and_each_for_its_problem(tmp_path: Path) -> None:
    metrics = Metrics()
    traffic = Traffic(tmp_path, ("churn", "credit"), metrics)
    traffic.start()
    for route, status in [
        ("/predict", 200),
        ("/predict", 503),
        ("/predict", 422),
        ("/problems/credit/predict/batch", 500),
        ("/problems/churn/feedback", 200),
        ("/health/ready", 503),
        ("/metrics", 500),
        ("unmatched", 404),
    ]:
        metrics.observe(route, status, 0.001)
    traffic.stop()
    now = time.time()
    assert count_window(tmp_path, "churn", now, HOUR) == (4, 1)
    assert count_window(tmp_path, "credit", now, HOUR) == (1, 1)
    assert count_window(tmp_path, "other", now, HOUR) == (0, 0)


def test_a_window_counts_what_happened_in_it_over_all_processes(tmp_path: Path) -> None:
    first = [Sample(0.0, {}), Sample(10.0, {"a": (5, 5)}), Sample(100.0, {"a": (7, 6)})]
    leave_samples(tmp_path, "one", first)
    leave_samples(tmp_path, "two", [Sample(50.0, {}), Sample(90.0, {"a": (100, 0)})])
    (tmp_path / "traffic" / "torn.json").write_bytes(b'[[1.0, {"a":')
    assert count_window(tmp_path, "a", 100.0, 60.0) == (102, 1)
    assert count_window(tmp_path, "a", 100.0, 1000.0) == (107, 6)
    assert count_window(tmp_path, "a", 99.0, 20.0) == (100, 0)
    assert count_window(tmp_path, "a", 500.0, 60.0) == (0, 0)


def test_an_idle_time_before_errors_does_not_date_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("api.traffic.time.time", lambda: clock[0])
    metrics = Metrics()
    traffic = Traffic(tmp_path, ("a",), metrics)
    traffic.start()
    metrics.observe("/predict", 200, 0.0)
    traffic.leave()
    clock[0] = 3000.0
    metrics.observe("/predict", 500, 0.0)
    traffic.leave()
    traffic.stop()
    assert count_window(tmp_path, "a", 3000.0, 2 * SAMPLE_SECONDS) == (1, 1)


def test_files_of_processes_long_gone_are_removed(tmp_path: Path) -> None:
    leave_samples(tmp_path, "one", [Sample(0.0, {})])
    assert remove_old_samples(tmp_path) == 0
    assert remove_old_samples(tmp_path, time.time() + OLD_SECONDS + 1) == 1


def told(settings: Settings) -> list[tuple[str, str]]:
    return [(row.kind, row.phase) for row in rows_of(settings, alerts)]


def test_a_server_without_a_model_raises_an_alert_through_the_loop_and_its_end_another(
    tmp_path: Path,
) -> None:
    rules = {"error_min_requests": 5}
    settings = small_settings(tmp_path / "home", alerts=rules)
    with running(settings, "small") as api:
        for _ in range(6):
            assert api.predict(features={}).status_code == 503
        api.runtime.traffic.leave()
    for row in (1, 2):
        with small_run(settings, row, "monitor") as run:
            rate = watch_servers(run)
    assert (rate.n_requests, rate.n_errors) == (6, 6)
    assert told(settings) == [("errors_high", "opened")]
    leave_samples(settings.store, "well", [Sample(0, {}), Sample(time.time(), {"small": (900, 0)})])
    with small_run(settings, 3, "monitor") as run:
        watch_servers(run)
    assert told(settings)[-1] == ("errors_over", "closed")


def test_a_server_that_refuses_what_it_should_serve_is_told_once(tmp_path: Path) -> None:
    settings = small_settings(tmp_path / "home")
    now = datetime.now(UTC)
    move_pointer(settings.store, Pointer("small", 3, "2", "b" * 64, now))
    word = Acknowledgement("host-1", 3, 0, "slow", "'x' took 9 ms, three times the champion's 3 ms")
    acknowledge(settings.store, "small", word)
    for row in (1, 2):
        with small_run(settings, row, "monitor") as run:
            watch_servers(run)
    (alert,) = rows_of(settings, alerts)
    assert (alert.kind, alert.severity, alert.title) == (
        "bundle_refused",
        "critical",
        "Server refused version 2",
    )
    assert "(slow): … took 9 ms" in alert.text
    assert alert.repeats == 1
