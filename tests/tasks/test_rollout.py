"""The rollout as a state machine: real tables, small models, a server that follows."""

from __future__ import annotations

from typing import Any

import pytest

from settings import Settings
from storage.database import reading
from storage.ledger_check import check
from storage.pointers import Acknowledgement, acknowledge
from storage.tables import alerts, releases
from tasks import rollout, withdrawal
from tasks.rollback import roll_back
from tasks.servers import watch_servers
from tests.factories import (
    drop,
    rows_of,
    serve_rows,
    small_rows,
    small_run,
    small_settings,
    tick,
)
from tests.factories_releases import server
from tests.tasks.conftest import PowerCutError
from tests.tasks.staged import (
    POLICY,
    acts,
    pointer_of,
    promoted,
    quiet,
    states,
    story,
    told,
    watch,
)


def test_shadow_then_canary_then_full_then_probation(shadowed: Settings) -> None:
    candidate = pointer_of(shadowed).candidate
    assert candidate is not None
    assert (candidate.version, candidate.role, candidate.share) == ("2", "shadow", 0.0)
    assert states(shadowed) == ["champion", "shadow"]
    serve_rows(shadowed, small_rows(750, 40, turned=True), "1")
    going = watch(shadowed, 790)
    assert going["shadow"].startswith("shadow: 40 of 60 live rows scored; scores shift")
    serve_rows(shadowed, small_rows(790, 40, turned=True), "1")
    with server(shadowed.store) as seen:
        passed = watch(shadowed, 830)["shadow"]
        assert seen[-1] == 3  # the loop waited for the server
    assert passed.startswith("shadow passed: 80 of 60 live rows scored; roc_auc gain 0.")
    assert "decided alike; one row takes" in passed
    candidate = pointer_of(shadowed).candidate
    assert candidate is not None
    assert (candidate.role, candidate.share) == ("canary", 0.5)
    assert states(shadowed) == ["champion", "canary"]
    # Answers of the champion do not count for the canary.
    serve_rows(shadowed, small_rows(830, 50, turned=True), "1")
    assert watch(shadowed, 880)["canary"].startswith("canary: 0 of 30 answers given")
    serve_rows(shadowed, small_rows(880, 31, turned=True), "2")
    watch(shadowed, 911)
    pointer = pointer_of(shadowed)
    assert (pointer.version, pointer.generation, pointer.candidate) == ("2", 4, None)
    assert states(shadowed) == ["archived", "champion"]
    serve_rows(shadowed, small_rows(911, 210, turned=True), "2")
    over = watch(shadowed, 1121)["probation"]
    assert over.startswith("probation passed: 210 of 200 labelled rows compared; roc_auc gain 0.")
    assert not watch(shadowed, 1122)
    assert story(shadowed) == [
        ("shadow", 2, "passed"),
        ("canary", 2, "passed"),
        ("probation", 2, "passed"),
    ]
    assert acts(shadowed) == [
        (1, 1, "promoted"),
        (2, 2, "shadow"),
        (3, 2, "canary"),
        (4, 2, "promoted"),
    ]
    assert told(shadowed) == [
        "shadow_started",
        "shadow_passed",
        "canary_started",
        "canary_passed",
        "promoted",
        "probation_passed",
    ]
    with small_run(shadowed) as run, reading(run.engine) as connection:
        assert check(connection).is_whole


def test_labels_that_say_worse_on_probation_bring_the_former_champion_back(
    shadowed: Settings,
) -> None:
    promoted(shadowed)
    serve_rows(shadowed, small_rows(870, 40), "2")  # the old world is back; too few rows to say so
    assert watch(shadowed, 910)["probation"].startswith("probation: 40 of 200")
    serve_rows(shadowed, small_rows(910, 60), "2")
    with server(shadowed.store) as seen:
        failed = watch(shadowed, 970)["probation"]
        assert seen[-1] == 5
    assert failed.startswith("probation failed: it is worse beyond chance: roc_auc gain -0.")
    assert pointer_of(shadowed).version == "1"
    assert states(shadowed) == ["champion", "archived"]
    assert acts(shadowed)[-1] == (5, 1, "rolled_back_to")
    act = rows_of(shadowed, releases)[-1]
    assert (act.actor, act.reason) == ("rollback", failed)
    assert told(shadowed)[-2:] == ["probation_failed", "rolled_back"]
    # The way back is no promotion: it is not on probation itself.
    assert not watch(shadowed, 971)
    assert story(shadowed)[-1] == ("probation", 2, "failed")


def test_a_candidate_that_is_worse_by_the_labels_never_answers(shadowed: Settings) -> None:
    serve_rows(shadowed, small_rows(750, 55), "1")  # the old world is back
    failed = watch(shadowed, 805)["shadow"]
    assert failed.startswith("shadow failed: it is worse beyond chance: roc_auc gain -0.")
    pointer = pointer_of(shadowed)
    assert (pointer.version, pointer.candidate, pointer.generation) == ("1", None, 3)
    assert states(shadowed) == ["champion", "refused"]
    assert acts(shadowed)[-2:] == [(2, 2, "shadow"), (3, 2, "withdrawn")]
    assert told(shadowed) == ["shadow_started", "shadow_failed"]
    assert not watch(shadowed, 806)


def test_a_stage_in_time_goes_by_the_loops_clock(shadowed: Settings) -> None:
    settings = quiet(shadowed.home, shadow="2h", canary=None)
    serve_rows(settings, small_rows(750, 80, turned=True), "1")
    assert watch(settings, 750 + 119)["shadow"].startswith(
        "shadow: 80 live rows scored in 119m of 2h"
    )
    assert watch(settings, 750 + 120)["shadow"].startswith("shadow passed: 80 live rows")
    assert pointer_of(settings).version == "2"


def test_without_traffic_patience_ends(shadowed: Settings) -> None:
    settings = quiet(shadowed.home, patience="1h")
    assert watch(settings, 809)["shadow"] == "shadow: 0 of 60 live rows scored"
    failed = watch(settings, 810)["shadow"]
    assert failed == "shadow failed: too little was seen in 1h: 0 of 60 live rows scored"
    assert pointer_of(settings).candidate is None


def test_while_a_version_is_tried_no_other_is_trained_unless_a_person_asks(
    shadowed: Settings,
) -> None:
    settings = small_settings(shadowed.home, rollout=POLICY)
    serve_rows(settings, small_rows(750, 55, turned=True), "1")
    result = tick(settings, 805)
    assert not result["retrain"]
    assert result["reason"].endswith("but version 2 is tried as shadow")


def test_a_server_that_refuses_the_candidate_ends_its_stage(shadowed: Settings) -> None:
    word = Acknowledgement("fake", 2, 2, "golden", "answers differ")
    acknowledge(shadowed.store, "small", word)
    with small_run(shadowed, 760, "monitor") as run:
        watch_servers(run)
    acknowledge(shadowed.store, "small", word)  # or it would have died meanwhile
    failed = watch(shadowed, 760)["shadow"]
    assert failed == "shadow failed: a server refused it: golden: answers differ"
    assert pointer_of(shadowed).candidate is None
    refused = [row for row in rows_of(shadowed, alerts) if row.kind == "bundle_refused"]
    assert [row.title for row in refused] == ["Server refused version 2"]


def test_a_canary_that_a_server_refuses_never_begins(shadowed: Settings) -> None:
    serve_rows(shadowed, small_rows(750, 80, turned=True), "1")
    champion = pointer_of(shadowed).bundle
    with server(shadowed.store, refuses="load") as seen:
        watch(shadowed, 830)
        assert seen[-1] == 4
    assert pointer_of(shadowed).bundle == champion
    assert acts(shadowed)[-2:] == [(3, 2, "refused"), (4, 2, "withdrawn")]
    assert story(shadowed)[-1] == ("canary", 2, "failed")
    assert told(shadowed)[-1] == "canary_failed"


def test_a_persons_rollback_takes_the_canary_away_and_leaves_the_champion(
    shadowed: Settings,
) -> None:
    serve_rows(shadowed, small_rows(750, 80, turned=True), "1")
    watch(shadowed, 830)
    pointer = roll_back(shadowed.store, "small", None, "anna", "customers complain")
    assert (pointer.version, pointer.candidate, pointer.former) == ("1", None, ())
    watch(shadowed, 831)
    assert story(shadowed)[-1] == ("canary", 2, "ended")
    assert acts(shadowed)[-1] == (4, 1, "rolled_back_to")
    assert states(shadowed) == ["champion", "refused"]
    assert told(shadowed)[-1] == "canary_failed"
    assert not watch(shadowed, 832)


@pytest.mark.parametrize(
    ("owner", "name"),
    [(rollout.releases, "point"), (rollout, "wait_for_servers"), (rollout, "show_rollout")],
)
def test_a_stage_that_was_begun_by_a_run_that_died_is_carried_out_by_the_next(
    shadowed: Settings, cut_before: Any, owner: object, name: str
) -> None:
    serve_rows(shadowed, small_rows(750, 80, turned=True), "1")
    cut_before(owner, name)
    with pytest.raises(PowerCutError):
        watch(shadowed, 830)
    watch(shadowed, 831)
    candidate = pointer_of(shadowed).candidate
    assert candidate is not None
    assert candidate.role == "canary"
    assert acts(shadowed) == [(1, 1, "promoted"), (2, 2, "shadow"), (3, 2, "canary")]
    assert told(shadowed) == ["shadow_started", "shadow_passed", "canary_started"]


def test_a_withdrawal_that_died_half_way_is_finished_by_the_next_run(
    shadowed: Settings, cut_before: Any
) -> None:
    serve_rows(shadowed, small_rows(750, 55), "1")
    cut_before(withdrawal, "_take_away")
    with pytest.raises(PowerCutError):
        watch(shadowed, 805)
    assert pointer_of(shadowed).candidate is not None
    watch(shadowed, 806)
    assert pointer_of(shadowed).candidate is None
    assert pointer_of(shadowed).version == "1"


def test_a_rollback_from_probation_that_died_half_way_is_finished_by_the_next_run(
    shadowed: Settings, cut_before: Any
) -> None:
    promoted(shadowed)
    serve_rows(shadowed, small_rows(870, 100), "2")
    cut_before(rollout.releases, "point")
    with pytest.raises(PowerCutError):
        watch(shadowed, 970)
    assert pointer_of(shadowed).version == "2"
    watch(shadowed, 971)
    assert pointer_of(shadowed).version == "1"
    assert acts(shadowed)[-1] == (5, 1, "rolled_back_to")


def test_a_first_champion_is_promoted_at_once(small: Settings) -> None:
    settings = small_settings(small.home, rollout=POLICY)
    drop(settings, small_rows(0, 400), "history.parquet")
    assert tick(settings, 400)["challenger"]["outcome"] == "promoted"
