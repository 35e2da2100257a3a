"""What alerts say, what they never say, and when a repeat is held back."""

from __future__ import annotations

import inspect
import math
from pathlib import Path

import pytest

from learning import alert_rollout
from learning import alert_text as say
from learning.alert import (
    CLOSES,
    COALESCE_SECONDS,
    Alert,
    Told,
    Verdict,
    clean,
    judge,
    one_line_error,
    without_values,
)
from learning.alert_rules import AlertRules
from learning.error_rate import judge_errors
from learning.phrases import DriftedFeature, Gain

HOUR = 3600.0
GAIN = Gain("roc_auc", 0.0123, 0.004, 0.021, 0.95)
WORST = [
    DriftedFeature("income", "KS", 0.31, 1e-9),
    DriftedFeature("city", "V", 0.2, 0.0012),
    DriftedFeature("age", "KS", 0.15, 0.01),
    DriftedFeature("height", "KS", 0.12, 0.02),
]


def test_drift_names_share_and_the_three_worst_features_with_their_statistics() -> None:
    alert = say.drift_found(3, 13 / 31, 13, 31, 0.1, WORST)
    assert alert.title == "Data drift: 13 of 31 features"
    assert "drift_share 0.4194 > 0.1: 13 of 31 testable features drifted" in alert.text
    assert "income (KS 0.31, p < 1e-6), city (V 0.2, p 0.0012), age (KS 0.15, p 0.01)" in alert.text
    assert "height" not in alert.text
    assert (alert.severity, alert.incident) == ("warning", "drift")


def test_a_clean_batch_is_one_incident_and_needs_nothing_from_the_reader() -> None:
    alert = say.batch_ingested("inbox", 1200)
    assert alert.title == "1,200 rows ingested"
    assert alert.text == "1,200 rows from inbox were stored.\nTo do: Nothing."
    assert (alert.severity, alert.incident) == ("info", "clean")


def test_a_batch_with_quarantined_rows_names_the_most_frequent_reasons_first() -> None:
    reasons = {"b: missing": 1, "a: found 'secret'; expected a number": 5, "c: late": 2, "d: x": 1}
    alert = say.batch_ingested("inbox", 91, 9, reasons)
    assert alert.title == "91 rows ingested, 9 quarantined"
    listed = "a: found …; expected a number (5), c: late (2), b: missing (1)."
    assert listed in alert.text
    assert alert.severity == "warning"
    assert alert.incident is not None
    assert alert.incident != "clean"


def test_the_same_reasons_of_another_batch_are_the_same_incident() -> None:
    first = say.batch_ingested("inbox", 91, 9, {"a: found 'x'": 9})
    second = say.batch_ingested("inbox", 90, 10, {"a: found 'y'": 10})
    assert first.incident == second.incident


def test_a_promotion_tells_versions_gain_interval_and_reason() -> None:
    alert = say.promoted(1, 2, GAIN, "gain 0.0123, interval above 0")
    assert alert.title == "Promoted: version 1 → 2"
    assert "gain 0.0123, interval above 0." in alert.text
    assert "roc_auc +0.0123, 95% interval [0.004, 0.021]" in alert.text
    assert alert.severity == "good"
    assert alert.incident is None


def test_low_performance_tells_value_interval_and_floor() -> None:
    alert = say.performance_below_floor(2, "accuracy", 0.61, (0.58, 0.64), 0.7, 1000)
    assert "Live accuracy 0.61 [0.58, 0.64] over 1,000 labelled rows" in alert.text
    assert "worse than the floor 0.7" in alert.text
    assert alert.severity == "critical"


def test_all_well_without_labels_says_that_there_are_none_yet() -> None:
    assert "no mature labels yet" in say.all_well(1, 0.0, "roc_auc", None).text
    assert "roc_auc 0.9." not in say.all_well(1, 0.0, "roc_auc", None).text
    assert "not testable, roc_auc 0.9." in say.all_well(1, None, "roc_auc", 0.9).text


@pytest.mark.parametrize(
    ("alert", "title", "severity", "told"),
    [
        (say.batch_refused("inbox", 9, "ragged"), "Batch refused", "warning", "whole: ragged."),
        (say.retrain_started("drift", "0.4 > 0.1"), "Retrain started: drift", "info", "0.4 > 0.1."),
        (
            say.challenger_refused(3, 2, "gain not shown"),
            "Challenger 3 refused",
            "info",
            "gain not shown.\nBy itself: Nothing changed: version 2 goes on.",
        ),
        (
            say.first_champion(1, "mae", 0.25, "500 rows are enough"),
            "First champion: version 1",
            "good",
            "500 rows are enough. Holdout mae 0.25.\nBy itself: Version 1 now answers.",
        ),
        (
            say.rolled_back(3, 2, "ada", "complaints"),
            "Rolled back: version 3 → 2",
            "warning",
            "ada rolled back: complaints.\nBy itself: Version 2 now answers.",
        ),
        (say.recovered("ingest"), "ingest recovered", "good", "runs again"),
        (say.circuit_open(3, "breaker"), "Retraining stopped", "critical", "3 challengers"),
        (
            say.bundle_refused(4, 3, "sha256", "bytes differ"),
            "Server refused version 4",
            "warning",
            "(sha256): bytes differ.\nBy itself: On that server version 3 goes on answering.",
        ),
        (
            say.bundle_refused(1, None, "sha256", "bytes differ"),
            "Server refused version 1",
            "critical",
            "On that server no model answers.",
        ),
    ],
)
def test_each_kind_has_its_title_severity_and_sentence(
    alert: Alert, title: str, severity: str, told: str
) -> None:
    assert (alert.title, alert.severity) == (title, severity)
    assert told in alert.text


def test_a_failure_tells_the_last_line_of_a_traceback_without_the_value() -> None:
    error = (
        "Traceback (most recent call last):\n"
        '  File "/srv/tasks/x.py", line 3, in read\n'
        "ValueError: could not convert string to float: '4111-1111'\n"
    )
    alert = say.failed("ingest", error)
    assert "ingest failed: ValueError: could not convert string to float: …." in alert.text
    assert "4111" not in alert.text
    assert "/srv" not in alert.text


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("", "no message"),
        ("Traceback (most recent call last):\n  odd", "an error without a message"),
        ("no such table: foo\n[SQL: SELECT 1]\n[parameters: (42,)]", "no such table: foo"),
        ("bad [SQL: INSERT] [parameters: (42,)]", "bad"),
        ("cannot reach postgresql://u:pw@db/x now", "cannot reach … now"),
        ("age: found 42.5; expected a category", "age: found …; expected a category"),
        ("found nothing in 3 files", "found nothing in 3 files"),
        ("can't open the file, it isn't there", "can't open the file, it isn't there"),
    ],
)
def test_one_line_of_an_error_carries_no_values(error: str, line: str) -> None:
    assert one_line_error(error) == line


def test_quoted_text_of_any_kind_is_hidden() -> None:
    assert without_values("a 'b' \"c\" `d` e") == "a … … … e"


def test_texts_lose_what_databases_and_chats_cannot_take() -> None:
    assert clean("a\x00b\ud800c\u202ed\r\ne") == "a b c d e"
    alert = Alert("k", "info", "t\n" + "x" * 300, "one\ntwo\x07", {"a\nb": math.nan, "c": "\x00"})
    assert alert.title.startswith("t xxx")
    assert len(alert.title) == 256
    assert alert.text == "one\ntwo"
    assert alert.fields == {"a b": "n/a", "c": ""}


def verdict(kind: str, last: Told | None, level: float = 0.0, step: float = 0.0) -> Verdict:
    return judge(Alert(kind, "info", "t", "x", {}, "i", level, step), last)


def test_the_first_message_of_what_lasts_opens_an_incident() -> None:
    assert verdict("drift_found", None) == "opened"
    assert verdict("promoted", None) == "event"


@pytest.mark.parametrize(
    ("age", "told"),
    [
        (0.0, "repeat"),
        (6 * HOUR - 1, "repeat"),
        (6 * HOUR, "still_open"),
        (90 * HOUR, "still_open"),
    ],
)
def test_what_lasts_is_counted_for_six_hours_then_told_as_still_open(age: float, told: str) -> None:
    assert verdict("drift_found", Told("opened", age)) == told
    assert verdict("drift_found", Told("still_open", age)) == told


def test_the_time_between_reminders_is_the_problems() -> None:
    alert = Alert("failed", "critical", "t", "x", {}, "ingest")
    assert judge(alert, Told("opened", HOUR), 2 * HOUR) == "repeat"
    assert judge(alert, Told("opened", HOUR), HOUR) == "still_open"


def test_worse_is_a_rise_by_a_step_above_what_was_last_told() -> None:
    assert verdict("drift_found", Told("opened", 1.0, 0.25), 0.5, 0.25) == "worse"
    assert verdict("drift_found", Told("opened", 1.0, 0.25), 0.49, 0.25) == "repeat"
    assert verdict("drift_found", Told("opened", 1.0, 0.25), 9.0, 0.0) == "repeat"


def test_an_incident_is_closed_once_and_only_when_it_is_open() -> None:
    assert verdict("drift_over", None) == "nothing"
    assert verdict("drift_over", Told("opened", 1.0)) == "closed"
    assert verdict("recovered", Told("still_open", 99 * HOUR)) == "closed"
    assert verdict("recovered", Told("closed", 1.0)) == "nothing"


def test_what_was_over_is_opened_again_after_half_an_hour() -> None:
    assert verdict("drift_found", Told("closed", HOUR / 2 - 1)) == "repeat"
    assert verdict("drift_found", Told("closed", HOUR / 2)) == "opened"


def test_all_well_is_told_every_six_hours() -> None:
    assert verdict("all_well", Told("event", 6 * HOUR - 1)) == "repeat"
    assert verdict("all_well", Told("event", 6 * HOUR)) == "event"


def test_batches_are_told_every_ten_minutes_and_never_as_still_open() -> None:
    assert verdict("batch_ingested", Told("event", 599.0)) == "repeat"
    assert verdict("batch_ingested", Told("event", 600.0)) == "event"


def test_a_clock_that_went_back_silences_nothing_for_longer_than_the_window() -> None:
    assert verdict("failed", Told("opened", -6 * HOUR + 1)) == "repeat"
    assert verdict("failed", Told("opened", -7 * HOUR)) == "still_open"


def test_kinds_without_a_window_are_told_every_time() -> None:
    assert verdict("promoted", Told("event", 0.0)) == "event"


def test_names_of_columns_are_shown_and_values_are_not() -> None:
    names = frozenset({"age", "Air temperature [K]"})
    text = "column 'age' is missing; 'Air temperature [K]': found 'x7'; \"age\" beside `secret`"
    assert without_values(text, names) == (
        "column 'age' is missing; 'Air temperature [K]': found …; \"age\" beside …"
    )
    assert "column 'age' is missing" in say.failed("ingest", "column 'age' is missing", names).text
    refused = say.batch_refused("inbox", 9, "column 'age' is missing, found 'ag3'", names)
    assert "column 'age' is missing, found ….\n" in refused.text


def test_errors_of_the_api_are_told_with_their_interval_and_their_end() -> None:
    rules = AlertRules()
    high = say.errors_high(judge_errors(200, 6, rules), 0.01, 300.0)
    assert "6 of 200 requests in the last 5 minutes were answered with a 5xx status" in high.text
    assert ": 3%, 95% interval [1.38%, 6.39%], above the 1% that is allowed." in high.text
    assert (high.severity, high.incident) == ("critical", "errors")
    over = say.errors_over(judge_errors(200, 1, rules), 0.01, 300.0)
    assert "0.5%" in over.text
    assert over.incident == high.incident


ENDS = ("started", "passed", "failed")


def test_every_kind_is_composed_by_the_function_of_its_name_and_documented() -> None:
    composers = {
        name
        for module in (say, alert_rollout)
        for name, made in inspect.getmembers(module, inspect.isfunction)
        if made.__module__ == module.__name__ and not name.startswith("_")
    }
    text = Path(__file__).parents[2].joinpath("docs", "alerts.md").read_text(encoding="utf-8")
    documented = {
        kind
        for line in text.splitlines()
        if line.startswith("| `")
        for kind in line.split("|")[1].replace("`", "").replace(" ", "").split(",")
    }
    # What happens to a candidate is named by its stage.
    stages = {f"{stage}_{end}" for stage in ("shadow", "canary") for end in ENDS}
    assert documented == composers - {f"stage_{end}" for end in ENDS} | stages
    assert set(COALESCE_SECONDS) | set(CLOSES) | set(CLOSES.values()) <= composers
