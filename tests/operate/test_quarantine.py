"""`perennial quarantine`: what a person sees, gets as a file, and may put back."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from operate import quarantine as quarantine_by_hand
from settings import Settings
from storage.csv_export import neutral, neutral_text
from storage.database import open_engine
from storage.leases import acquire
from tests.commands import Perennial, document, told
from tests.factories import drop, small_rows

EVIL = "=cmd|'/c calc'!A0\x1b[31m"


@pytest.fixture
def ingested(perennial: Perennial, home: Path) -> Perennial:
    """A home with 27 good rows and three that were refused."""
    frame = small_rows(0, 30).astype({"x2": object})
    frame.loc[3, "Air temperature [K]"] = -1.0
    frame.loc[5, "x2"] = EVIL
    frame.loc[7, "label"] = "[red]maybe"
    drop(Settings(_env_file=None, home=home), frame.rename(columns={"note": "@n"}), "a.csv")  # type: ignore[call-arg]
    assert document(perennial("run", "ingest", "--json"))["small"]["inbox"]["quarantined"] == 3
    return perennial


def test_list_counts_by_batch_and_reason_and_status_tells_how_many_wait(
    ingested: Perennial,
) -> None:
    (problem,) = document(ingested("quarantine", "list", "--json"))["problems"]
    assert (problem["name"], problem["waiting"]) == ("small", 3)
    assert {(group["source"], group["reason"], group["rows"]) for group in problem["groups"]} == {
        ("inbox/a.csv", "Air temperature [K]: below 0", 1),
        ("inbox/a.csv", "x2: not a number", 1),
        ("inbox/a.csv", "label: not one of the known classes", 1),
    }
    narrowed = document(ingested("quarantine", "list", "--matching", "below", "--json"))
    assert len(narrowed["problems"][0]["groups"]) == 1
    status = document(ingested("status", "--json"))["problems"][0]
    assert status["quarantine"] == {"waiting": 3}
    assert "3 rows wait: perennial quarantine list" in ingested("status").stdout
    assert "below 0" in " ".join(ingested("quarantine", "list").stdout.split())


def test_show_tells_reasons_and_values_and_lets_no_value_steer_the_terminal(
    ingested: Perennial,
) -> None:
    found = document(ingested("quarantine", "show", "--limit", "2", "--json"))
    assert (found["total"], [row["row_number"] for row in found["rows"]]) == (3, [4, 6])
    assert found["rows"][1]["row"]["x2"] == EVIL
    shown = ingested("quarantine", "show", "--limit", "2").stdout
    assert "\x1b" not in shown
    assert "1 more: --limit" in shown
    assert "maybe" in ingested("quarantine", "show", "--id", "3").stdout


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_an_exported_file_holds_no_formula(ingested: Perennial, tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    assert document(ingested("quarantine", "show", "--export", target, "--json"))["rows"] == 3
    content = target.read_bytes()
    text = gzip.decompress(content) if name.endswith("gz") else content
    rows = list(csv.DictReader(text.decode().splitlines()))
    assert [row["_quarantine_reason"] for row in rows][1] == "x2: not a number"
    assert rows[1]["x2"] == f"'{EVIL}"
    assert float(rows[2]["x2"]) < 0  # a number is what it says, also in a column of text


def test_json_lines_hold_the_rows_as_they_came(ingested: Perennial, tmp_path: Path) -> None:
    assert ingested("quarantine", "show", "--export", tmp_path / "rows.jsonl").exit_code == 0
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert json.loads(lines[1])["row"]["x2"] == EVIL


def test_an_export_that_fails_leaves_the_old_file(
    ingested: Perennial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any) -> int:
        raise OSError(28, "No space left on device")

    target = tmp_path / "rows.csv"
    target.write_text("old")
    monkeypatch.setattr(quarantine_by_hand, "_write_csv", fail)
    result = ingested("quarantine", "show", "--export", target)
    assert (result.exit_code, result.stderr) == (1, "perennial: No space left on device\n")
    assert [(path.name, path.read_text()) for path in tmp_path.glob("*rows*")] == [
        ("rows.csv", "old")
    ]
    assert "expected a name ending in .csv" in told(
        ingested("quarantine", "show", "--export", tmp_path / "rows.xlsx")
    )


def test_release_stores_what_may_be_and_refuses_the_rest_by_exit_code(
    ingested: Perennial,
) -> None:
    plain = ingested("quarantine", "release", "--all", "--reason", "all well", "--json")
    assert plain.exit_code == 1
    assert (json.loads(plain.stdout)["released"], json.loads(plain.stdout)["waiting"]) == (0, 3)
    cold = ("quarantine", "release", "--matching", "below", "--as-is", "--reason", "a cold room")
    assert "1 row released" in ingested(*cold).stdout
    assert "no row waits that fits" in told(ingested(*cold))
    rest = ingested("quarantine", "release", "--all", "--as-is", "--reason", "why not")
    assert rest.exit_code == 1
    assert "1 still wait: x2: not a number" in rest.stdout
    found = document(ingested("quarantine", "show", "--state", "released", "--json"))
    (row,) = found["rows"]
    assert (row["row_number"], row["release_reason"]) == (4, "a cold room")
    assert row["released_by"]
    assert row["released_at"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("release", "--reason", "x"), "say which rows"),
        (("release", "--all", "--id", "1", "--reason", "x"), "say which rows"),
        (("release", "--all", "--reason", " "), "expected why these rows are right"),
        (("release", "--all", "--reason", "x", "--problem", "smal"), "did you mean 'small'?"),
        (("list", "--problem", "smal"), "did you mean 'small'?"),
    ],
)
def test_wrong_use_is_told_in_one_line(
    perennial: Perennial, arguments: tuple[str, ...], line: str
) -> None:
    assert line in told(perennial("quarantine", *arguments))


def test_a_release_needs_a_reason(perennial: Perennial) -> None:
    assert perennial("quarantine", "release", "--all").exit_code == 2
    nothing = document(perennial("quarantine", "release", "--all", "--reason", "x", "--json"))
    assert nothing["released"] == 0


def test_a_release_gives_up_while_the_loop_holds_the_problem(
    ingested: Perennial, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine_by_hand, "LEASE_SECONDS", 0.0)
    engine = open_engine(f"sqlite:///{home / 'perennial.db'}")
    assert acquire(engine, "small") is not None
    engine.dispose()
    result = ingested("quarantine", "release", "--all", "--as-is", "--reason", "x")
    assert result.exit_code == 1
    assert "another run is at work" in result.stderr


@pytest.mark.parametrize("start", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_what_a_spreadsheet_would_run_is_neutralised(start: str) -> None:
    assert neutral(start) == neutral_text(start) == "'" + start


@pytest.mark.parametrize("value", ["a=1", "", None, -1.5, True, "1-2"])
def test_what_is_harmless_stays(value: Any) -> None:
    assert neutral(value) is value
    assert neutral_text("-1.5e3") == "-1.5e3"
