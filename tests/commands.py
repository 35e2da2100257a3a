"""Runs `perennial` in a home with the small problem, and reads what it said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

import cli
from settings import get_settings

Perennial = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home folder of the commands."""
    return tmp_path / "home"


@pytest.fixture
def perennial(home: Path, monkeypatch: pytest.MonkeyPatch) -> Perennial:
    """Runs a command in a home with the small problem and no MLflow."""
    from tests.factories import NOWHERE, small_settings

    small_settings(home)
    monkeypatch.chdir(home)
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    monkeypatch.setenv("PERENNIAL_PROBLEMS", str(home / "problems"))
    monkeypatch.setenv("PERENNIAL_ACTIVE", "small")
    monkeypatch.setenv("PERENNIAL_MLFLOW_URI", NOWHERE)

    def run(*arguments: str | Path) -> Result:
        get_settings.cache_clear()
        result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
        get_settings.cache_clear()
        return result

    return run


def told(result: Result) -> str:
    """The one line on stderr of a command that was used wrongly."""
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("perennial: ")
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    return lines[0]


def document(result: Result) -> Any:
    """The one JSON document on stdout of a command that succeeded."""
    assert result.exit_code == 0, (result.stderr, result.exception)
    return json.loads(result.stdout)
