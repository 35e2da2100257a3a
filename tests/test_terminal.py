"""Every command: one JSON document where asked, quiet in a pipe, coloured only on a terminal."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer

import cli
from operate.predict import predict_file
from operate.terminal import out
from settings import Settings, get_settings
from storage.database import open_engine, upgrade
from storage.predictions import store_records
from storage.records import PredictionRecord
from storage.tokens import create_token
from tests.commands import Perennial
from tests.factories import FEATURES, START, bootstrap, small_rows, small_settings
from tests.factories_releases import release_next

# Words of each command; what stands in {braces} is filled in by `places`.
COMMANDS = {
    "backup": "backup {new}/copy",
    "doctor": "doctor",
    "drift": "drift {rows} {rows} --target label",
    "explain": "explain {prediction}",
    "generate": "generate --problem churn --rows 3",
    "history": "history",
    "init": "init {rows} --target label --name {name}",
    "journal": "journal",
    "lineage": "lineage 1",
    "predict": "predict {rows} {new}/scored.csv",
    "quarantine list": "quarantine list",
    "quarantine release": "quarantine release --all --reason right",
    "quarantine show": "quarantine show",
    "replay": "replay {history} --problem small --policy never --batch 100",
    "restore": "restore {backup} --force",
    "rollback": "rollback --to 1 --reason tried",
    "run": "run ingest",
    "status": "status",
    "token create": "token create --scope read",
    "token list": "token list",
    "token revoke": "token revoke {token}",
    "verify": "verify",
}
# They run until they are ended, or for minutes; `demo --json` is run whole by the test of the demo.
OTHERS = {"demo", "serve", "up", "worker"}
ESCAPE = "\x1b"


def every_command() -> set[str]:
    root: Any = typer.main.get_command(cli.app)
    names = set()
    for name, command in root.commands.items():
        below = getattr(command, "commands", None)
        names |= {f"{name} {child}" for child in below} if below else {name}
    return names


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a champion, a prediction, a token and a backup of it beside."""
    home = tmp_path_factory.mktemp("lived") / "home"
    settings = small_settings(home)
    bootstrap(settings)
    _answer(settings, home.parent)
    return home


def _answer(settings: Settings, folder: Path) -> None:
    """One prediction as the champion really makes it, kept as the API keeps it."""
    row = small_rows(400, 1)
    row.to_csv(folder / "one.csv", index=False)
    predict_file(settings, "small", folder / "one.csv", folder / "scored.csv", "fail")
    scored = pd.read_csv(folder / "scored.csv").iloc[0]
    chance, features = float(scored["probability"]), row[list(FEATURES)].to_dict("records")[0]
    said, values = str(scored["prediction"]), list(features.values())
    body = json.dumps({"prediction": said, "model_version": "1"}).encode()
    chances = [1 - chance, chance]
    record = PredictionRecord("small", "p1", "1", None, START, values, said, chances, body, START)
    engine = open_engine(settings.sql_url)
    store_records(engine, [record])
    engine.dispose()


@pytest.fixture
def places(lived_in: Path, home: Path, tmp_path: Path) -> dict[str, str]:
    """A copy of that home, and the names that the commands need."""
    shutil.copytree(lived_in, home, dirs_exist_ok=True)
    new = tmp_path / "new"
    new.mkdir()
    rows = tmp_path / "rows.csv"
    small_rows(0, 60).to_csv(rows, index=False)
    history = tmp_path / "history.csv"
    small_rows(0, 400).to_csv(history, index=False)
    settings = small_settings(home)
    upgrade(settings.sql_url)
    engine = open_engine(settings.sql_url)
    token, _ = create_token(engine, ("read",))
    engine.dispose()
    known = {"rows": rows, "history": history, "new": new, "name": "mine", "token": token.token_id}
    return {name: str(value) for name, value in {**known, "prediction": "p1"}.items()}


def filled(text: str, places: dict[str, str], perennial: Perennial) -> list[str]:
    if text.startswith("rollback"):
        release_next(small_settings(Path(os.environ["PERENNIAL_HOME"])))
    if "{backup}" in text:
        copy = Path(places["new"]) / "backup"
        assert perennial("backup", copy).exit_code == 0
        places = {**places, "backup": str(copy)}
    return [word.format(**places) for word in text.split()]


def test_every_command_stands_in_the_table() -> None:
    assert every_command() == set(COMMANDS) | OTHERS


@pytest.mark.parametrize("name", list(COMMANDS))
def test_json_is_one_document_and_nothing_else(
    perennial: Perennial, places: dict[str, str], name: str
) -> None:
    result = perennial(*filled(COMMANDS[name], places, perennial), "--json")
    assert result.exit_code in (0, 1), (result.output, result.exception)
    assert isinstance(json.loads(result.stdout), dict)
    assert result.stdout.count("\n") == 1
    assert ESCAPE not in result.stderr


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_pipe_gets_text_without_colours_or_broken_lines(
    perennial: Perennial, places: dict[str, str], name: str
) -> None:
    result = perennial(*filled(COMMANDS[name], places, perennial))
    assert result.exit_code in (0, 1), (result.output, result.exception)
    assert ESCAPE not in result.output
    assert "…" not in result.stdout
    assert result.stdout or name == "journal"


@pytest.mark.parametrize("name", ["status", "history", "doctor"])
def test_a_terminal_gets_colours_unless_it_asks_for_none(
    places: dict[str, str], perennial: Perennial, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert ESCAPE in seen_on_a_terminal(name, monkeypatch)


def seen_on_a_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command writes where its output is a terminal."""
    reader, writer = os.openpty()
    get_settings.cache_clear()
    with os.fdopen(writer, "w") as screen, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", screen)
        with pytest.raises(SystemExit):
            cli.app([name])
        screen.flush()
        text = os.read(reader, 1_000_000)
    os.close(reader)
    return text.decode()


def test_lines_into_a_pipe_are_as_long_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    out().print("word " * 100)
    assert capsys.readouterr().out.count("\n") == 1
