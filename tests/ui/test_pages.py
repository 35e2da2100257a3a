"""Every page's logic, on an empty home and on one with a past, signed in or not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sqlalchemy import select, update
from streamlit.testing.v1 import AppTest

from settings import Settings
from storage.database import open_engine, writing
from storage.tables import decisions, drift_results, models, quarantine, tokens
from tests.factories import rows_of, tick
from tests.ui.conftest import Look
from tests.ui.home import begin_stages, token_of
from ui.frame import PAGES


def said(app: AppTest) -> str:
    """All words of a page that are not in tables."""
    kinds = ("title", "subheader", "markdown", "caption", "error", "warning", "info", "success")
    found = [e.value for kind in kinds for e in getattr(app, kind)]
    return "\n".join([*found, *(one.value for one in app.code), *(e.label for e in app.expander)])


def cells(app: AppTest) -> str:
    """All words in tables."""
    return "\n".join(table.value.to_string() for table in app.dataframe)


EMPTY = {
    "Overview": ["No model yet", "What to do next", "the first model needs 200", "inbox/small"],
    "Performance": ["Nothing was measured yet", "/feedback"],
    "Drift": ["No check has been made yet", "perennial run monitor"],
    "Releases": ["Nothing was ever released"],
    "Models": ["No model was trained yet", "perennial run retrain"],
    "Data": ["Nothing came in yet", "No row waits"],
    "Generate": ["This problem has no generator"],
    "Try": ["No model answers yet"],
    "Replay": ["No report of a replay yet"],
}
FULL = {
    "Overview": ["Inputs drifted", r"\*what\*", "Source inbox fails", "version 2", "gate"],
    "Performance": ["roc\\_auc 0\\.", "Beside it", "By slice", "intervals held"],
    "Drift": ["Drifted", "corrected p", "Beside the inputs", "Evidently"],
    "Releases": ["Version **2** is served", "Version 90 was not promoted", "**gain**"],
    "Models": ["champion", "Confusion matrix", "Precision and recall", "Calibration", "Importance"],
    "Data": ["Quarantine", "8 rows", "Predictions"],
    "Try": [],
}


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_page_says_what_to_do_next(empty: Settings, look: Look, page: str) -> None:
    app = look(empty, page)
    assert not app.exception
    words = said(app)
    assert all(expected in words for expected in EMPTY[page]), words


@pytest.mark.parametrize("page", FULL)
def test_a_page_with_a_past_tells_it(full: Settings, look: Look, page: str) -> None:
    app = look(full, page)
    assert not app.exception
    words = said(app)
    assert all(expected in words for expected in FULL[page]), words


@pytest.mark.parametrize(
    ("stages", "tile", "words"),
    [
        (("shadow",), "shadow: version 3", "in the shadow of version 2"),
        (("shadow", "canary"), "canary: version 3, 25% of the requests", "canary beside version 2"),
        (("probation",), "on probation against version 2", "Version 3 is on probation"),
    ],
)
def test_who_is_tried_beside_the_champion_is_shown(
    full: Settings, look: Look, stages: tuple[str, ...], tile: str, words: str
) -> None:
    begin_stages(full, *stages)
    overview = said(look(full, "Overview"))
    assert tile in overview
    assert words in overview
    assert f"{stages[-1]}\\: 12 of 60 rows" in overview
    app = look(full, "Releases")
    assert words in said(app)
    assert "Rollouts in stages" in said(app)
    past = next(table.value for table in app.dataframe if "stage" in table.value)
    assert list(past["stage"])[: len(stages)] == list(reversed(stages))
    assert list(past["state"])[: len(stages)] == ["running", "passed"][: len(stages)]


def test_a_verdict_that_is_open_is_not_called_refused(full: Settings, look: Look) -> None:
    engine = open_engine(full.sql_url)
    with writing(engine) as connection:
        row = connection.execute(select(decisions).where(decisions.c.run_id == "run-90")).one()
        checks = [{**one, "outcome": "unsure"} for one in row.evidence["checks"]]
        evidence = {**row.evidence, "outcome": "inconclusive", "checks": checks}
        change = update(decisions).where(decisions.c.id == row.id)
        connection.execute(change.values(evidence=evidence))
        waits = update(models).where(models.c.version == 90).values(state="waiting")
        connection.execute(waits)
    engine.dispose()
    app = look(full, "Releases")
    assert "Version 90 is not promoted yet" in said(app)
    assert "question_mark" in said(app)
    overview = said(look(full, "Overview"))
    assert "undecided, judged again" in overview
    assert "Version 90 waits for more rows" in overview


def test_nobody_sees_anything_without_a_token(full: Settings, look: Look) -> None:
    token_of(full, "read")
    app = look(full, "Releases")
    assert app.title[0].value == "Perennial"
    assert "Version" not in said(app)
    assert not app.dataframe
    app.text_input[0].set_value("abc.wrong")
    app.button[0].click().run()
    assert "opens nothing" in app.error[0].value


def test_a_token_without_read_does_not_sign_in(full: Settings, look: Look) -> None:
    text = token_of(full, "predict")
    app = look(full, "Releases")
    app.text_input[0].set_value(text)
    app.button[0].click().run()
    assert "expected read" in app.error[0].value
    assert look(full, "Releases", token=text).title[0].value == "Perennial"


def test_signing_in_shows_the_page_and_revoking_ends_it(full: Settings, look: Look) -> None:
    text = token_of(full, "read")
    app = look(full, "Releases")
    app.text_input[0].set_value(text)
    app.button[0].click().run()
    assert app.title[0].value == "Releases"
    engine = open_engine(full.sql_url)
    with writing(engine) as connection:
        connection.execute(update(tokens).values(revoked_at=rows_of(full, tokens)[0].created_at))
    engine.dispose()
    app.run()
    assert app.title[0].value == "Perennial"


def test_a_reader_sees_quarantined_rows_and_cannot_release_them(full: Settings, look: Look) -> None:
    app = look(full, "Data", token=token_of(full, "read"))
    assert "row-000900" in cells(app)
    assert "may put these rows back" in said(app)
    assert not app.button or {one.label for one in app.button} == {"Sign out"}


def test_an_admin_releases_rows_and_the_loop_takes_them(full: Settings, look: Look) -> None:
    app = look(full, "Data", token=token_of(full, "read", "admin"))
    release = next(one for one in app.button if one.label == "Release")
    release.click().run()
    assert "Say why" in app.error[0].value
    app.text_input(key="why").set_value("the sensor was in the freezer")
    app.checkbox[0].check()
    next(one for one in app.button if one.label == "Release").click().run()
    assert "8 rows are released" in said(app)
    assert {row.state for row in rows_of(full, quarantine)} == {"releasing"}
    tick(full, 960)
    rows = rows_of(full, quarantine)
    assert {row.state for row in rows} == {"released"}
    assert "tests" in rows[0].released_by
    assert rows[0].release_reason == "the sensor was in the freezer"


def test_a_cell_of_the_heatmap_opens_both_distributions(full: Settings, look: Look) -> None:
    app = look(full, "Drift")
    charts = {chart.proto.id.split("-")[-1] for chart in app.get("plotly_chart")}
    assert "cell" in charts
    engine = open_engine(full.sql_url)
    with writing(engine) as connection:
        connection.execute(update(drift_results).values(shapes=None))
    engine.dispose()
    assert "before distributions were kept" in said(app.run())


def test_a_bundle_that_is_gone_is_said_to_be(full: Settings, look: Look) -> None:
    shutil.rmtree(full.store / "bundles")
    assert "is not there" in said(look(full, "Drift"))
    assert "no bundle" in said(look(full, "Models"))
    assert "No model answers yet" in said(look(full, "Try"))


def test_trying_a_prediction_without_the_api_says_how_to_start_it(
    full: Settings, look: Look
) -> None:
    app = look(full, "Try")
    next(one for one in app.button if one.label == "Predict").click().run()
    assert "perennial serve" in app.error[0].value


def test_trying_needs_the_scope_predict(full: Settings, look: Look) -> None:
    assert "may not predict" in said(look(full, "Try", token=token_of(full, "read")))


def test_generated_rows_can_be_looked_at(empty: Settings, look: Look) -> None:
    churn = empty.model_copy(update={"active": ("churn",)})
    app = look(churn, "Generate")
    assert not app.exception
    assert "customer_id" in app.dataframe[0].value
    app.selectbox(key="kind").select("sudden").run()
    assert "Drift begins half way" in said(app)
    next(one for one in app.button if one.label.startswith("Put")).click().run()
    assert "does not answer" in app.error[0].value


def test_a_replays_report_is_shown(empty: Settings, look: Look) -> None:
    folder = empty.home / "replay" / "small"
    folder.mkdir(parents=True)
    (folder.parent / "other").mkdir()
    curve = [{"first": 0, "end": 100, "value": 0.7, "low": None, "high": None}]
    document = {
        "metric": "accuracy",
        "rows": 900,
        "policies": {
            "never": {"metric": 0.7, "retrains": 0, "curve": curve},
            "auto": {"metric": 0.8, "retrains": 2, "curve": []},
        },
        "recommendation": "retrain by auto: it was best",
    }
    (folder / "report.json").write_text(json.dumps(document))
    (folder / "report.html").write_text("<p>drawn</p>")
    (folder.parent / "other" / "report.json").write_text("{}")
    app = look(empty, "Replay")
    assert app.selectbox[0].options == ["small/report.json", "other/report.json"]
    assert "auto: it was best" in app.success[0].value.replace("\\", "")
    assert list(app.dataframe[0].value["retrained"]) == [0, 2]
    assert len(app.get("plotly_chart")) == 1
    assert [one.proto.label[:20] for one in app.get("download_button")] == [
        "Download report.json", "Download report.html",
    ]  # fmt: skip
    (folder / "report.json").write_text("[]")
    assert "not a replay" in look(empty, "Replay").warning[0].value


def test_a_database_that_is_away_is_said_to_be(empty: Settings, look: Look, tmp_path: Path) -> None:
    (empty.home / "perennial.db").mkdir()
    app = look(empty, "Overview")
    assert not app.exception
    assert "The database does not answer" in app.error[0].value
