"""When an old world comes back, the model of then comes back through the gate."""

from __future__ import annotations

from settings import Settings
from storage.pointers import read_pointer
from storage.tables import alerts, models, releases
from tests.factories import rows_of, serve_rows, small_rows, small_settings, tick


def test_a_former_champion_returns_with_its_world_and_nothing_is_trained(
    championed: Settings,
) -> None:
    settings = small_settings(championed.home, rollout={"probation": None})
    serve_rows(settings, small_rows(400, 350, turned=True), "1")
    assert tick(settings, 750)["challenger"]["outcome"] == "promoted"
    serve_rows(settings, small_rows(750, 250), "2")
    result = tick(settings, 1000)["challenger"]
    assert (result["version"], result["returned"], result["outcome"]) == (1, True, "promoted")
    assert result["reason"].startswith("a former champion returns: better than champion 2: roc_auc")
    pointer = read_pointer(settings.store, "small")
    assert pointer is not None
    assert (pointer.version, pointer.generation) == ("1", 3)
    assert [row.state for row in rows_of(settings, models)] == ["champion", "archived"]
    assert [row.state for row in rows_of(settings, releases)] == ["promoted"] * 3
    assert rows_of(settings, alerts)[-1].title == "Promoted: version 2 → 1"


def test_a_former_champion_that_is_no_better_stays_where_it_is(championed: Settings) -> None:
    settings = small_settings(championed.home, rollout={"probation": None})
    serve_rows(settings, small_rows(400, 350, turned=True), "1")
    tick(settings, 750)
    rules = {"volume_rows": 50, "min_new_rows": 50, "cooldown": "0s", "circuit_pause": "0s"}
    settings = small_settings(championed.home, rollout={"probation": None}, retrain=rules)
    serve_rows(settings, small_rows(750, 120, turned=True), "2")
    result = tick(settings, 870)["challenger"]
    assert result["version"] == 3
    assert "returned" not in result
    assert [row.state for row in rows_of(settings, models)][:2] == ["archived", "champion"]
