"""The outbox on SQLite and PostgreSQL: once per event, counted per incident, in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from learning import alert_text as say
from learning.alert import Alert
from learning.alert_rules import AlertRules
from storage import channels, deliveries, outbox
from storage.database import reading, writing
from storage.deliveries import Delivery
from storage.outbox import Entry

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def promotion(to: int = 2) -> Alert:
    return say.retrain_started("manual", f"number {to}")


def drift(champion: int = 1, share: float = 0.5) -> Alert:
    return say.drift_found(champion, share, 5, 10, 0.1, [])


def calm() -> Alert:
    return say.drift_over(1, 0.0, "0 of 10 features drifted")


def well() -> Alert:
    return say.all_well(1, 0.0, "accuracy", 0.9)


def post(
    engine: Engine, alert: Alert, event_id: str, at: datetime = NOW, problem: str = "churn"
) -> bool:
    with writing(engine) as connection:
        return outbox.post(connection, problem, alert, event_id, at, clock=at - 9 * HOUR)


def entries(engine: Engine, problem: str = "churn") -> list[Entry]:
    """All alerts of a problem, oldest first."""
    with reading(engine) as connection:
        return outbox.latest(connection, problem, 1000)[::-1]


def due(engine: Engine, at: datetime | None, limit: int = 50) -> list[Delivery]:
    with reading(engine) as connection:
        return deliveries.due(connection, "discord", at, limit)


def due_ids(engine: Engine, at: datetime | None, limit: int = 50) -> list[str]:
    return [delivery.entry.event_id for delivery in due(engine, at, limit)]


def test_what_was_posted_is_read_back_whole(engine: Engine) -> None:
    alert = Alert("custom", "critical", "Title", "One.\nTwo.", {"a": 1, "b": 0.5, "c": "x"}, "i")
    assert post(engine, alert, "run-1:custom")
    (entry,) = entries(engine)
    assert entry.alert == alert
    assert (entry.event_id, entry.problem, entry.state) == ("run-1:custom", "churn", "waiting")
    assert (entry.created_at, entry.clock, entry.repeats) == (NOW, NOW - 9 * HOUR, 0)
    with reading(engine) as connection:
        places = deliveries.deliveries_of(connection, entry.id)
    assert [place.channel for place in places] == ["discord", "email", "webhook"]
    assert {(place.state, place.attempts, place.not_before) for place in places} == {
        ("waiting", 0, NOW)
    }


def test_the_same_event_twice_adds_nothing(engine: Engine) -> None:
    assert post(engine, promotion(), "e1")
    assert not post(engine, promotion(), "e1", NOW + 9 * HOUR)
    assert [entry.repeats for entry in entries(engine)] == [0]


def test_an_alert_of_a_transaction_that_rolls_back_was_never_posted(engine: Engine) -> None:
    def post_and_fail() -> None:
        with writing(engine) as connection:
            outbox.post(connection, "churn", promotion(), "e1", NOW)
            raise RuntimeError("the step failed")

    with pytest.raises(RuntimeError):
        post_and_fail()
    assert entries(engine) == []


def test_repeats_of_an_incident_are_counted_once_each_on_the_open_row(engine: Engine) -> None:
    assert post(engine, drift(), "e1")
    assert not post(engine, drift(), "e2", NOW + MINUTE)
    assert not post(engine, drift(), "e3", NOW + 2 * MINUTE)
    assert not post(engine, drift(), "e2", NOW + 3 * MINUTE)
    assert [(entry.event_id, entry.repeats) for entry in entries(engine)] == [("e1", 2)]


def test_a_repeat_posted_again_after_the_window_stays_a_repeat(engine: Engine) -> None:
    post(engine, drift(), "e1")
    post(engine, drift(), "e2", NOW + MINUTE)
    assert not post(engine, drift(), "e2", NOW + 7 * HOUR)
    assert len(entries(engine)) == 1


def test_drift_that_lasts_is_told_again_after_six_hours_with_its_count(engine: Engine) -> None:
    post(engine, drift(), "e1")
    post(engine, drift(), "e2", NOW + HOUR)
    assert post(engine, drift(), "e3", NOW + 6 * HOUR)
    second = entries(engine)[1]
    assert second.phase == "still_open"
    assert second.alert.title == "Still open: Data drift: 5 of 10 features"
    assert second.alert.fields["Repeats since the last message"] == 1
    assert second.alert.fields["Open for"] == "6 h 0 min"


def test_drift_that_grows_is_told_as_worse_once_per_step(engine: Engine) -> None:
    post(engine, drift(share=0.2), "e1")
    assert not post(engine, drift(share=0.39), "e2", NOW + MINUTE)
    assert post(engine, drift(share=0.4), "e3", NOW + 2 * MINUTE)
    assert not post(engine, drift(share=0.5), "e4", NOW + 3 * MINUTE)
    assert [entry.phase for entry in entries(engine)] == ["opened", "worse"]
    assert entries(engine)[1].alert.title.startswith("Worse: ")


def test_the_end_of_an_incident_is_told_once_with_how_long_it_lasted(engine: Engine) -> None:
    assert not post(engine, calm(), "c0")
    post(engine, drift(), "e1")
    post(engine, drift(), "e2", NOW + HOUR)
    assert post(engine, calm(), "c1", NOW + 2 * HOUR + 5 * MINUTE)
    assert not post(engine, calm(), "c2", NOW + 3 * HOUR)
    closed = entries(engine)[-1]
    assert (closed.phase, closed.alert.fields["Lasted"]) == ("closed", "2 h 5 min")


def test_an_end_goes_where_the_beginning_went(engine: Engine) -> None:
    rules = AlertRules(discord="warning", email="critical", webhook="off")
    low = say.performance_below_floor(1, "accuracy", 0.5, (0.4, 0.6), 0.7, 100)
    high = say.performance_recovered(1, "accuracy", 0.8, (0.7, 0.9), 0.7, 100)
    with writing(engine) as connection:
        outbox.post(connection, "churn", drift(), "e1", NOW, None, rules)
        outbox.post(connection, "churn", calm(), "e2", NOW, None, rules)
        outbox.post(connection, "churn", low, "e3", NOW, None, rules)
        outbox.post(connection, "churn", high, "e4", NOW, None, rules)
        outbox.post(connection, "churn", promotion(), "e5", NOW, None, rules)
        by_id = {
            entry.event_id: [one.channel for one in deliveries.deliveries_of(connection, entry.id)]
            for entry in outbox.latest(connection, "churn")
        }
    both = ["discord", "email"]
    assert by_id == {"e1": ["discord"], "e2": ["discord"], "e3": both, "e4": both, "e5": []}


def test_other_problems_and_kinds_are_other_incidents_other_champions_not(
    engine: Engine,
) -> None:
    low = say.performance_below_floor(1, "accuracy", 0.5, (0.4, 0.6), 0.7, 100)
    assert post(engine, drift(1), "e1")
    assert not post(engine, drift(2), "e2")
    assert post(engine, drift(1), "e3", problem="credit")
    assert post(engine, low, "e4")


def test_all_well_is_told_every_six_hours_and_never_while_trouble_is_open(engine: Engine) -> None:
    assert post(engine, well(), "w1")
    assert not post(engine, well(), "w2", NOW + MINUTE)
    assert post(engine, drift(), "d1", NOW + 2 * MINUTE)
    assert not post(engine, well(), "w3", NOW + 7 * HOUR)
    assert post(engine, calm(), "c1", NOW + 8 * HOUR)
    assert post(engine, well(), "w4", NOW + 8 * HOUR)


def test_flapping_drift_is_told_every_half_hour_at_most(engine: Engine) -> None:
    told = []
    for minute in range(0, 60, 2):
        told.append(post(engine, drift(), f"d{minute}", NOW + minute * MINUTE))
        told.append(post(engine, calm(), f"w{minute}", NOW + (minute + 1) * MINUTE))
    assert sum(told) == 4


def test_a_recovery_is_told_once_and_only_for_the_flow_that_failed(engine: Engine) -> None:
    assert not post(engine, say.recovered("ingest"), "r0")
    assert post(engine, say.failed("ingest", "disk full"), "f1", NOW + MINUTE)
    assert not post(engine, say.recovered("monitor"), "r1", NOW + 2 * MINUTE)
    assert post(engine, say.recovered("ingest"), "r2", NOW + 3 * MINUTE)
    assert not post(engine, say.recovered("ingest"), "r3", NOW + 4 * MINUTE)


def test_quarantined_rows_are_told_within_the_window_of_clean_batches(engine: Engine) -> None:
    assert post(engine, say.batch_ingested("inbox", 10), "b1")
    assert not post(engine, say.batch_ingested("inbox", 10), "b2", NOW + MINUTE)
    assert post(engine, say.batch_ingested("inbox", 9, 1, {"late": 1}), "b3", NOW + 2 * MINUTE)
    assert post(engine, say.batch_refused("inbox", 9, "ragged"), "b4", NOW + 3 * MINUTE)
    assert post(engine, say.batch_ingested("inbox", 10), "b5", NOW + 10 * MINUTE)


def test_text_that_databases_refuse_is_taken(engine: Engine) -> None:
    assert post(engine, say.failed("ingest", "a\x00b\ud800"), "e\x001" + "x" * 200)
    assert "a b" in entries(engine)[0].alert.text


def test_due_alerts_come_oldest_first_and_not_before_their_time(engine: Engine) -> None:
    for number in range(3):
        post(engine, promotion(number), f"e{number}", NOW + number * MINUTE)
    assert due_ids(engine, NOW + MINUTE) == ["e0", "e1"]
    assert due_ids(engine, NOW + HOUR, limit=2) == ["e0", "e1"]
    assert due_ids(engine, None) == ["e0", "e1", "e2"]


def test_a_postponed_alert_holds_back_the_later_ones_of_its_problem_only(engine: Engine) -> None:
    post(engine, promotion(1), "e1")
    post(engine, promotion(2), "e2")
    post(engine, promotion(3), "other", problem="credit")
    first = due(engine, None)[0]
    with writing(engine) as connection:
        assert deliveries.mark_retry(connection, first, NOW + HOUR, "hangs")
    assert due_ids(engine, NOW + MINUTE) == ["other"]
    assert due_ids(engine, NOW + HOUR) == ["e1", "e2", "other"]
    first = due(engine, None)[0]
    assert (first.attempts, first.last_error) == (1, "hangs")


def test_an_alert_is_claimed_by_one_process_only(engine: Engine) -> None:
    post(engine, promotion(), "e1")
    (first,) = due(engine, NOW)
    with writing(engine) as connection:
        assert deliveries.claim(connection, first, NOW + MINUTE)
        assert not deliveries.claim(connection, first, NOW + MINUTE)
    assert due_ids(engine, NOW) == []
    assert due_ids(engine, NOW + MINUTE) == ["e1"]


def test_a_settled_alert_is_settled_once(engine: Engine) -> None:
    for number in range(3):
        post(engine, promotion(number), f"e{number}")
    one, two, three = due(engine, NOW)
    with writing(engine) as connection:
        assert deliveries.mark_sent(connection, one, NOW)
        assert not deliveries.mark_sent(connection, one, NOW)
        assert deliveries.mark_dropped(connection, two, "x" * 999)
        assert not deliveries.mark_retry(connection, two, NOW, "again")
        assert deliveries.switch_off(connection, "discord", "it said 404") == 1
        assert deliveries.switch_off(connection, "webhook", None) == 3
        for entry in outbox.unsettled(connection, 10):
            deliveries.settle_alert(connection, entry)
        assert outbox.count_waiting(connection) == 0
        dropped = deliveries.deliveries_of(connection, two.entry.id)[0]
    assert [entry.state for entry in entries(engine)] == ["sent", "dropped", "logged"]
    assert dropped.last_error == "x" * 300
    assert due(engine, None) == []
    assert three.state == "waiting"


def test_latest_gives_the_newest_first(engine: Engine) -> None:
    for number in range(3):
        post(engine, promotion(number), f"e{number}")
    with reading(engine) as connection:
        newest = outbox.latest(connection, "churn", 2)
    assert [entry.event_id for entry in newest] == ["e2", "e1"]


def test_a_channel_stays_off_until_its_address_changes(engine: Engine) -> None:
    with writing(engine) as connection:
        assert channels.open_channel(connection, "discord", "https://a/secret", NOW).is_enabled
        channels.disable_channel(connection, "discord", "it said 404", NOW)
        same = channels.open_channel(connection, "discord", "https://a/secret", NOW + HOUR)
        assert (same.is_enabled, same.reason, same.changed_at) == (False, "it said 404", NOW)
        other = channels.open_channel(connection, "discord", "https://b/secret", NOW + HOUR)
        assert (other.is_enabled, other.reason) == (True, None)
        kept = channels.find_channel(connection, "discord")
    assert kept == other
    assert "secret" not in str(kept)


def test_a_channel_is_paused_until_the_time_that_it_was_told(engine: Engine) -> None:
    with writing(engine) as connection:
        channels.open_channel(connection, "discord", "https://a", NOW)
        channels.pause_channel(connection, "discord", NOW + MINUTE)
        paused = channels.open_channel(connection, "discord", "https://a", NOW)
    assert paused.is_paused(NOW + MINUTE - timedelta(seconds=1))
    assert not paused.is_paused(NOW + MINUTE)
