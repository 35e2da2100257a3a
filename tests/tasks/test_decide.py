"""The decision in the loop: what it remembers from turn to turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from settings import Settings
from storage.tables import decisions, models
from tasks.decide import decide
from tests.factories import (
    bootstrap,
    rows_of,
    serve_rows,
    small_problem,
    small_rows,
    small_run,
    small_settings,
    tick,
)


def policy(**changes: Any) -> dict[str, Any]:
    """The small problem's policy with some keys changed."""
    return {**small_problem().retrain.model_dump(), **changes}


@pytest.fixture
def patient(championed: Settings) -> Settings:
    """The home of a champion whose problem asks for two violated windows."""
    return small_settings(championed.home, retrain=policy(violations=2))


def newest(settings: Settings, kind: str = "retrain") -> Any:
    """The newest decision of a kind."""
    return [row for row in rows_of(settings, decisions) if row.kind == kind][-1]


def test_one_bad_window_waits_for_another_with_new_rows(patient: Settings) -> None:
    serve_rows(patient, small_rows(400, 150, turned=True), "1")
    first = tick(patient, 550)
    again = tick(patient, 551)
    assert (first["retrain"], again["retrain"]) == (False, False)
    assert first["reason"].endswith("in 1 of the last 1 windows; 2 of 5 and the newest are needed")
    assert newest(patient).evidence["looks"]["drift"] == [[550, 1]]
    serve_rows(patient, small_rows(550, 60, turned=True), "1")
    assert tick(patient, 610)["challenger"]["outcome"] == "promoted"
    assert newest(patient).evidence["looks"]["drift"] == [[550, 1], [610, 1]]
    assert newest(patient).evidence["champion"] == "1"


def test_another_champion_starts_with_no_windows(championed: Settings) -> None:
    serve_rows(championed, small_rows(400, 350, turned=True), "1")
    assert tick(championed, 750)["challenger"]["outcome"] == "promoted"
    serve_rows(championed, small_rows(750, 60, turned=True), "2")
    tick(championed, 810)
    evidence = newest(championed).evidence
    assert evidence["champion"] == "2"
    assert [opened for opened, _ in evidence["looks"]["drift"]] == [810]
    assert evidence["progress"]["n_served"] == 410


def test_a_turn_by_hand_forgets_no_window(patient: Settings) -> None:
    serve_rows(patient, small_rows(400, 150, turned=True), "1")
    tick(patient, 550)
    with small_run(patient, flow="retrain") as run:
        assert decide(run, None, None, manual_reason="why").go
    assert newest(patient).evidence["looks"]["drift"] == [[550, 1]]


def test_three_refusals_open_the_circuit_and_are_told_by_kind(
    championed_home: Path, tmp_path: Path
) -> None:
    settings = small_settings(tmp_path / "home", retrain=policy(volume_rows=50, circuit_pause="1w"))
    bootstrap(settings)
    row = 400
    for attempt in range(3):
        n_rows = 50 * (attempt + 1) + 50
        serve_rows(settings, small_rows(row, n_rows), "1")
        row += n_rows
        assert tick(settings, row)["challenger"]["outcome"] == "refused"
    serve_rows(settings, small_rows(row, 300), "1")
    assert tick(settings, row + 300)["reason"].endswith(
        "but the circuit is open: 3 challengers refused in a row (volume); the next is tried 1w "
        "after the last attempt, at another kind of trigger, or by hand"
    )
    assert newest(settings).evidence["is_circuit_open"]
    assert [row.state for row in rows_of(settings, models)] == ["champion"] + ["refused"] * 3
