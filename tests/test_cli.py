"""The command line: exit codes, one clear line per mistake, and nothing but JSON where asked."""

from __future__ import annotations

import asyncio
import json
import socket
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from storage.journal import Journal
from storage.pointers import read_pointer
from storage.records import FeedbackItem, FeedbackRecord, PredictionRecord, encode_record
from tests.commands import Perennial, document, told
from tests.factories import drop, small_rows, small_settings
from tests.factories_releases import release_next

GOOD = small_rows(0, 60)
WRONG = {
    "found no column 'lable'; did you mean 'label'": (GOOD.to_csv(index=False).encode(), "lable"),
    "the file is empty": (b"", "label"),
    "every value is 'no'": (GOOD.assign(label="no").to_csv(index=False).encode(), "label"),
    "found 2 fields, too few": (GOOD.to_csv(index=False).encode() + b"1,2\n", "label"),
    "is not UTF-8": (GOOD.assign(plan="größe").to_csv(index=False).encode("latin-1"), "label"),
}


@pytest.mark.parametrize("reason", list(WRONG))
def test_init_tells_what_is_wrong_with_a_file_and_writes_nothing(
    perennial: Perennial, home: Path, tmp_path: Path, reason: str
) -> None:
    content, target = WRONG[reason]
    (tmp_path / "mine.csv").write_bytes(content)
    assert reason in told(perennial("init", tmp_path / "mine.csv", "--target", target))
    assert [path.name for path in (home / "problems").iterdir()] == ["small.yaml"]


def test_init_writes_a_problem_once(perennial: Perennial, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "My Data.csv"
    GOOD.to_csv(path, index=False)
    begun = document(perennial("init", path, "--target", "label", "--key", "row_id", "--json"))
    assert (begun["name"], begun["task"], begun["event_time"]) == ("my-data", "binary", "when")
    assert (home / "problems" / "my-data.yaml").exists()
    assert "--force" in told(perennial("init", path, "--target", "label"))
    assert perennial("init", path, "--target", "label", "--force").exit_code == 0
    assert "found no file" in told(perennial("init", "nowhere.csv", "--target", "y"))


def test_a_problem_file_with_an_unknown_key_is_told_in_one_line(
    perennial: Perennial, home: Path
) -> None:
    with (home / "problems" / "small.yaml").open("a") as file:
        file.write("retrian: {}\n")
    line = told(perennial("run", "continual"))
    assert "unknown key 'retrian'; did you mean 'retrain'?" in line
    assert not (home / "perennial.db").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("run", "ingest"),
        ("status",),
        ("history",),
        ("serve",),
        ("rollback", "--reason", "x"),
        ("generate",),
    ],
)
def test_an_unknown_problem_is_told_with_the_nearest_known(
    perennial: Perennial, command: tuple[str, ...]
) -> None:
    line = told(perennial(*command, "--problem", "smal"))
    assert "found no problem 'smal'; did you mean 'small'?" in line


def test_a_setting_that_is_no_number_is_told_by_its_name(
    perennial: Perennial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_API_PORT", "eighty")
    for command in (("serve",), ("status",)):
        assert "PERENNIAL_API_PORT: found 'eighty'" in told(perennial(*command))


def test_serving_on_a_port_that_is_taken_is_told(perennial: Perennial) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = told(perennial("serve", "--port", str(taken.getsockname()[1])))
    assert "is taken by another process" in line


def test_the_journal_comes_as_json_lines(perennial: Perennial, home: Path) -> None:
    assert perennial("journal").stdout == ""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    prediction = PredictionRecord("small", "p1", "3", None, now, [1.5], "a", None, b"{}", now)
    label = FeedbackRecord("small", [FeedbackItem("p1", "b", now)], None, now)
    journal = Journal(home / "journal", 1024 * 1024)

    async def write() -> None:
        for record in (prediction, label):
            await journal.append(encode_record(record)).durable()

    asyncio.run(write())
    result = perennial("journal")
    journal.close()
    assert result.exit_code == 0
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["kind"], first["prediction_id"], first["features"]) == ("prediction", "p1", [1.5])
    assert (second["kind"], second["items"][0]["actual"]) == ("feedback", "b")


def test_a_bundle_that_is_none_is_told_before_anything_is_served(
    perennial: Perennial, tmp_path: Path
) -> None:
    assert "found no bundle" in told(perennial("serve", "--bundle", tmp_path / "nowhere"))
    line = told(perennial("serve", "--bundle", "s3://models/1"))
    assert "expected a folder or a file:// URL" in line


def test_the_number_of_workers_is_a_setting(
    perennial: Perennial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_API_WORKERS", "0")
    assert "PERENNIAL_API_WORKERS: found '0'" in told(perennial("serve"))
    monkeypatch.setenv("PERENNIAL_API_WORKERS", "2")
    assert "--workers: found 0" in told(perennial("serve", "--workers", "0"))


def test_a_run_ingests_trains_and_shows_itself(perennial: Perennial, home: Path) -> None:
    empty = document(perennial("status", "--json"))
    assert empty["problems"][0]["champion"] is None
    assert document(perennial("history", "--json"))["releases"] == []
    assert "none yet" in perennial("status").stdout
    drop(small_settings(home), small_rows(0, 400), "a.csv")
    result = document(perennial("run", "continual", "--now", "2026-01-02", "--json"))
    assert result["small"]["challenger"]["outcome"] == "promoted"
    status = document(perennial("status", "--json"))["problems"][0]
    assert (status["champion"]["version"], status["health"]) == (1, "ok")
    assert status["last_runs"]["continual"]["state"] == "done"
    history = document(perennial("history", "--json"))
    assert [row["state"] for row in history["releases"]] == ["promoted"]
    assert history["gate"][0]["go"]
    assert "version 1, trained" in perennial("status").stdout
    assert "promoted" in perennial("history").stdout


def test_status_tells_of_problems_run_by_hand_too(
    perennial: Perennial, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document(perennial("run", "ingest", "--json"))  # of small
    monkeypatch.setenv("PERENNIAL_ACTIVE", "linear")
    found = document(perennial("status", "--json"))["problems"]
    assert [(one["name"], one["is_active"]) for one in found] == [
        ("linear", True),
        ("small", False),
    ]
    assert "PERENNIAL_ACTIVE=small has the loop run it" in perennial("status").stdout
    (only,) = document(perennial("status", "--problem", "small", "--json"))["problems"]
    assert only["name"] == "small"
    (home / "problems" / "small.yaml").unlink()  # what has no file any more is left out
    (only,) = document(perennial("status", "--json"))["problems"]
    assert only["name"] == "linear"


@pytest.mark.parametrize("features", [None, []])
def test_retraining_without_rows_fails_in_one_line(
    perennial: Perennial, home: Path, features: list[str] | None
) -> None:
    small_settings(home, **({} if features is None else {"features": features}))
    result = perennial("run", "retrain")
    assert "there is nothing to learn" in result.stderr
    assert (result.exit_code, "Traceback" in result.stderr) == (2, False)


def test_rolling_back_needs_no_database(perennial: Perennial, home: Path) -> None:
    settings = small_settings(home)
    nothing = perennial("rollback", "--reason", "x")
    assert (nothing.exit_code, nothing.stderr.count("\n")) == (1, 1)
    assert "nothing was ever promoted" in nothing.stderr
    for _ in range(3):
        release_next(settings)
    for path in home.glob("perennial.db*"):
        path.unlink()
    (home / "perennial.db").write_bytes(b"this is no database, and long enough to be read as one")
    done = document(perennial("rollback", "--reason", "nonsense", "--json"))
    assert (done["version"], done["generation"], done["recorded"]) == ("2", 4, False)
    unreadable = perennial("status")
    assert (unreadable.exit_code, unreadable.stderr.count("\n")) == (1, 1)
    further = perennial("rollback", "--reason", "still")
    assert "version 1 is served" in further.stdout
    last = perennial("rollback", "--reason", "further")
    assert last.exit_code == 1
    assert "nothing was served before version 1" in last.stderr
    assert perennial("rollback", "--to", "3", "--reason", "on").exit_code == 0
    unknown = perennial("rollback", "--to", "9", "--reason", "x")
    assert (unknown.exit_code, "no bundle of version 9" in unknown.stderr) == (1, True)
    pointer = read_pointer(settings.store, "small")
    assert pointer is not None
    assert (pointer.version, pointer.generation) == ("3", 6)


def test_a_rollback_is_written_down_at_once_when_it_can_be(
    perennial: Perennial, home: Path
) -> None:
    for _ in range(2):
        release_next(small_settings(home))
    assert document(perennial("rollback", "--reason", "nonsense", "--json"))["recorded"]
    newest = document(perennial("history", "--json"))["releases"][0]
    assert (newest["version"], newest["state"], newest["reason"]) == (
        1,
        "rolled_back_to",
        "nonsense",
    )


def test_a_home_that_cannot_be_written_is_told_in_one_line(
    perennial: Perennial, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    monkeypatch.setenv("PERENNIAL_HOME", str(blocked / "home"))
    for command in (("run", "ingest"), ("status",), ("token", "list")):
        result = perennial(*command)
        assert (result.exit_code, "Traceback" in result.stderr) == (1, False), result.exception
        assert "Not a directory" in result.stderr


def test_drift_of_two_files_is_an_exit_code(perennial: Perennial, tmp_path: Path) -> None:
    for name, frame in (("old", small_rows(0, 300)), ("new", small_rows(300, 300, turned=True))):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    assert perennial("drift", old, old, "--target", "label").exit_code == 0
    drifted = perennial("drift", old, new, "--target", "label", "--json")
    assert drifted.exit_code == 1
    found = json.loads(drifted.stdout)
    assert found["is_drifted"]
    names = {feature["name"]: feature for feature in found["features"]}
    assert names["Air temperature [K]"]["is_drifted"]
    assert "label" not in names
    assert "found no file" in told(perennial("drift", old, "nowhere.csv"))
    assert "no column 'lable'" in told(perennial("drift", old, new, "--target", "lable"))
    assert perennial("drift", old, new, "--report", tmp_path / "no" / "r.html").exit_code == 1


def test_generated_rows_come_as_csv_or_into_a_file(perennial: Perennial, tmp_path: Path) -> None:
    shown = perennial("generate", "--problem", "linear", "--rows", "3")
    assert (shown.exit_code, len(shown.stdout.splitlines())) == (0, 4)
    path = tmp_path / "rows.parquet"
    assert perennial("generate", "--problem", "linear", "--rows", "5", "--out", path).exit_code == 0
    assert len(pd.read_parquet(path)) == 5
    wrong = (("--drift", "wild"), ("--of", "all"), ("--out", str(tmp_path / "rows.xlsx")))
    for option in wrong:
        assert f"{option[0]}: found" in told(perennial("generate", "--problem", "linear", *option))
    assert "has no generator" in told(perennial("generate", "--problem", "small"))


def test_tokens_are_made_listed_and_revoked(perennial: Perennial) -> None:
    made = document(perennial("token", "create", "--scope", "read", "--label", "ci", "--json"))
    assert set(made) == {"id", "token", "scopes", "expires_at"}
    assert made["token"].startswith(made["id"])
    listed = document(perennial("token", "list", "--json"))["tokens"]
    assert [(row["id"], row["is_live"]) for row in listed] == [(made["id"], True)]
    assert made["token"] not in json.dumps(listed)
    assert "ci" in perennial("token", "list").stdout
    assert perennial("token", "revoke", made["id"]).exit_code == 0
    assert document(perennial("token", "list", "--json")) == {"tokens": []}
    assert "is not known" in told(perennial("token", "revoke", "nobody"))
    assert "scope" in told(perennial("token", "create", "--scope", "everything"))
