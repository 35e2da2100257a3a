"""What a check sees beside single features is kept, shown and told; old bundles still report."""

import numpy as np
import pytest
from rich.console import Console

from learning.drift_reference import to_arrays
from operate.status import read_status, show_status
from settings import Settings
from storage.tables import alerts, drift_results
from tasks import champion as champions
from tasks.champion import Champion, load_champion
from tasks.drift import watch_drift
from tasks.drift_joint import watch_joint
from tasks.drift_outputs import references_of
from tests.factories import drop, rows_of, serve_rows, small_rows, small_run, tick


def test_a_check_sees_predictions_labels_errors_and_all_features_at_once(
    championed: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    serve_rows(championed, small_rows(400, 150, turned=True), "1")
    with small_run(championed, 600, "monitor") as run:
        result = watch_drift(run)
        joint = watch_joint(run)
        again = watch_joint(run)
    assert result is not None
    assert result.is_drifted
    assert joint is not None
    assert joint.reason
    assert again is None  # it is not due before an hour has passed

    (row,) = [row for row in rows_of(championed, drift_results) if "joint" in row.watched][-1:]
    assert row.watched["prediction"]["is_drifted"]
    assert not row.watched["label"]["is_drifted"]  # of the holdout's rows; newer ones wait
    assert row.watched["concept"]["n_rows"] == 150
    told = [row for row in rows_of(championed, alerts) if row.kind == "drift_found"]
    assert "predictions: moved (KS" in told[-1].text

    found = read_status(championed, "small")
    assert found["problems"][0]["watched"]["joint"]["reason"] == joint.reason
    show_status(found, Console(width=200))
    shown = capsys.readouterr().out
    for word in ("predictions", "labels", "concept", "jointly"):
        assert word in shown


def test_a_bundle_without_statistics_or_with_broken_ones_is_checked_by_its_rows(
    championed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(championed, small_rows(400, 120), "more.csv")
    with small_run(championed, 500) as run:
        champion = load_champion(run)
        assert champion is not None
        kept = references_of(champion)
        assert kept["inputs"].n_rows == 200
        assert set(kept) == {"inputs", "prediction", "label"}
    for content in (None, b"PK broken"):
        older = Champion(
            champion.version, champion.manifest, champion.graph, champion.reference,
            champion.clock, content,
        )  # fmt: skip
        found = references_of(older)
        assert set(found) == {"inputs"}
        again, before = (to_arrays(references["inputs"]) for references in (found, kept))
        for name in ("points", "below", "counts", "n_missing"):
            np.testing.assert_array_equal(again[name], before[name])

    monkeypatch.setattr(champions, "STATISTICS", "gone.npz")
    result = tick(championed, 520)
    assert "reason" in result
    row = rows_of(championed, drift_results)[-1]
    assert row.drift_share is not None
    assert row.watched["prediction"]["not_testable"].endswith("has no reference of it")
