from __future__ import annotations

import fcntl
from collections.abc import Iterator
from typing import get_args

import pandas as pd
import pytest

from api import generate as generate_module
from api.generate import Drift
from learning.problem import DriftKind
from settings import Settings
from tests.api.servers import Api, running


@pytest.fixture
def api(open_settings: Settings) -> Iterator[Api]:
    """A server of a shipped problem and of one that has no file."""
    with running(open_settings, "linear", "unknown") as server:
        yield server


def test_the_kinds_of_drift_are_those_of_the_generators() -> None:
    assert set(get_args(Drift)) == set(get_args(DriftKind))


def test_generated_rows_are_put_into_the_inbox_one_after_the_other(api: Api) -> None:
    first = api.client.post("/generate", json={"rows": 30}, timeout=100)
    assert first.status_code == 200, first.text
    second = api.client.post("/generate", json={"rows": 20, "drift": "sudden"}, timeout=100).json()
    assert (first.json()["n_rows"], first.json()["first_row"]) == (30, 0)
    assert (second["n_rows"], second["first_row"], second["drift"]) == (20, 30, "sudden")
    frames = [pd.read_parquet(api.settings.home / a["file"]) for a in (first.json(), second)]
    assert [len(frame) for frame in frames] == [30, 20]
    assert not set(frames[0]["row_id"]) & set(frames[1]["row_id"])
    inbox = api.settings.home / "inbox" / "linear"
    assert sorted(path.name[0] for path in inbox.iterdir()) == [".", "g", "g"]


def test_a_problem_without_generator_is_a_404(api: Api) -> None:
    refusal = api.client.post("/problems/unknown/generate", json={"rows": 1})
    assert (refusal.status_code, refusal.json()["code"]) == (404, "no_generator")


def test_where_nothing_can_generate_the_answer_is_501(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate_module, "NEEDED", "no_such_module")
    refusal = api.client.post("/generate", json={"rows": 1})
    assert (refusal.status_code, refusal.json()["code"]) == (501, "not_installed")


@pytest.mark.parametrize(
    "body",
    [{}, {"rows": 0}, {"rows": 100_001}, {"rows": "1"}, {"rows": 1, "drift": "odd"}, {"n": 1}, []],
)
def test_other_bodies_are_refused(api: Api, body: object) -> None:
    assert api.client.post("/generate", json=body).status_code == 422


def test_one_at_a_time(api: Api) -> None:
    state = api.settings.home / "inbox" / "linear" / generate_module.STATE
    state.parent.mkdir(parents=True)
    with state.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refusal = api.client.post("/generate", json={"rows": 1})
    assert (refusal.status_code, refusal.json()["code"]) == (503, "busy")


def test_a_generator_that_fails_leaves_nothing_behind(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate_module, "has_generator", lambda *_: True)
    refusal = api.client.post("/problems/unknown/generate", json={"rows": 1}, timeout=100)
    assert (refusal.status_code, refusal.json()["code"]) == (500, "generate_failed")
    inbox = api.settings.home / "inbox" / "unknown"
    assert [path.name for path in inbox.iterdir()] == [generate_module.STATE]
