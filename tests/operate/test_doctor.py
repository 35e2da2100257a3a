from __future__ import annotations

import sys

import pytest

from learning.lightgbm_trees import why_no_lightgbm
from operate.doctor import as_json, examine
from settings import Settings
from storage.database import upgrade


def _verdicts(settings: Settings) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in examine(settings)}


def test_an_empty_home_is_told_what_to_do_about_its_database(settings: Settings) -> None:
    settings.home.mkdir()
    findings = {finding.check: finding for finding in examine(settings)}
    assert findings["database"].verdict == "problem"
    assert "perennial run ingest" in findings["database"].to_do
    assert not as_json(list(findings.values()))["ok"]


def test_a_fresh_installation_has_warnings_but_no_problems(settings: Settings) -> None:
    upgrade(settings.sql_url)
    verdicts = _verdicts(settings)
    assert "problem" not in verdicts.values()
    assert verdicts["maintenance: served model"] == "warning"
    assert verdicts["maintenance: loop"] == "warning"


def test_an_unknown_problem_is_a_problem(settings: Settings) -> None:
    upgrade(settings.sql_url)
    wrong = settings.model_copy(update={"active": ("maintenanse",)})
    finding = next(f for f in examine(wrong) if f.check == "maintenanse: file")
    assert finding.verdict == "problem"
    assert "maintenance" in finding.found


def test_a_lightgbm_that_cannot_be_loaded_is_told_with_what_stands_in_for_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(settings.sql_url)
    assert _verdicts(settings)["LightGBM"] == "ok"
    monkeypatch.setitem(sys.modules, "lightgbm", None)  # as if it were not there
    why_no_lightgbm.cache_clear()

    finding = next(f for f in examine(settings) if f.check == "LightGBM")

    monkeypatch.undo()
    why_no_lightgbm.cache_clear()
    assert finding.verdict == "warning"
    assert "lightgbm" in finding.found
    assert "boosting stands in" in finding.to_do
    assert "libgomp1" in finding.to_do
