"""`perennial replay`: the contract's document, the report, what is applied, and going on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pandas as pd
import pytest

from operate.stack_host import group_members
from settings import CHECKOUT
from storage.problems import read_problem
from tests.commands import Perennial, document, told
from tests.factories import small_rows
from tests.operate.conftest import eventually

QUICK = ("--policy", "every:100", "--policy", "never")


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A file of rows whose inputs and concept turn."""
    path = tmp_path / "history.csv"
    pd.concat([small_rows(0, 300), small_rows(300, 300, turned=True)]).to_csv(path, index=False)
    return path


def test_a_replay_recommends_reports_and_applies(
    perennial: Perennial, home: Path, history: Path, tmp_path: Path
) -> None:
    page = tmp_path / "out.html"
    asked = ("replay", history, "--problem", "small", "--batch", "100", *QUICK)
    found = document(perennial(*asked, "--json", "--report", page, "--apply"))
    keys = {"task", "metric", "rows", "label_delay_rows", "policies", "recommendation"}
    assert keys <= set(found)
    assert (found["task"], found["rows"], found["label_delay_rows"]) == ("binary", 600, 0)
    assert list(found["policies"]) == ["every:100", "never", "no_change", "majority"]
    text = page.read_text()
    assert text.count("<svg") == 2
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")  # nothing is fetched
    assert found["best"] in ("every:100", "never")
    retrain = read_problem(home / "problems" / "small.yaml").retrain
    assert Path(found["applied"]) == home / "problems" / "small.yaml"
    assert (retrain.on_drift, retrain.on_performance, retrain.max_age) == (False, False, None)


def test_a_replay_goes_on_from_what_is_kept(perennial: Perennial, history: Path) -> None:
    asked = ("replay", history, "--problem", "small", "--batch", "100", "--policy", "never")
    first = document(perennial(*asked, "--json"))
    again = document(perennial(*asked, "--resume", "--json"))
    assert again == first  # to the last digit of seconds, for nothing was computed again


def test_a_replay_of_a_file_alone_tells_each_tenth_and_whose_file_its_advice_is_for(
    perennial: Perennial, history: Path
) -> None:
    found = perennial("replay", history, "--target", "label", "--batch", "100", *QUICK)

    assert found.exit_code == 0, found.exception
    tenths = [int(share) for share in re.findall(r"replay: (\d+)% of", found.stderr)]
    assert tenths == sorted(set(tenths))
    assert tenths[-1] == 100
    assert re.search(r"now \S+; about \d+ s left", found.stderr)
    assert "in its problem file, which `perennial init` writes:" in found.stdout
    assert "--apply" not in found.stdout


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["begun", "kept"])
def test_ctrl_c_ends_all_workers_without_a_word_of_theirs(
    perennial: Perennial, home: Path, history: Path, moment: str
) -> None:
    asked = ["replay", str(history), "--problem", "small", "--batch", "10", "--workers", "2"]
    policies = ["--policy", "always", "--policy", "every:100"]
    command = [sys.executable, "-m", "cli", *asked, *policies]
    stopped = subprocess.Popen(
        command, stdout=PIPE, stderr=PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip

    def is_there() -> bool:
        kept = list((home / "replay").rglob("*.npz")) or list((home / "replay").rglob("*.json"))
        return len(group_members(stopped.pid)) >= 3 if moment == "begun" else bool(kept)

    eventually(lambda: is_there() or stopped.poll() is not None, 60)
    assert stopped.poll() is None
    os.killpg(stopped.pid, signal.SIGINT)
    _, said = stopped.communicate(timeout=30)
    assert "Traceback" not in said
    assert "the same command with --resume goes on" in said
    # The last is Python's own, which cleans shared memory up behind them.
    eventually(lambda: not group_members(stopped.pid), 10)
    document(perennial(*asked[:6], *policies, "--resume", "--json"))


def test_without_a_file_and_without_stored_rows_there_is_nothing_to_replay(
    perennial: Perennial, home: Path
) -> None:
    assert "no rows are stored" in told(perennial("replay"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--policy", "sometimes"), "found no policy 'sometimes'; expected one of never"),
        (("--batch", "400"), "a replay needs at least 800"),
        (("--drift-at", "900"), "--drift-at: found 900; expected 1 to 599"),
        (("--segments", "9"), "each needs"),
    ],
)
def test_what_cannot_be_replayed_is_told_in_one_line(
    perennial: Perennial, history: Path, options: tuple[str, ...], reason: str
) -> None:
    assert reason in told(perennial("replay", history, "--problem", "small", *options))


def test_a_file_without_a_problem_needs_a_target(perennial: Perennial, history: Path) -> None:
    assert "--target" in told(perennial("replay", history))
