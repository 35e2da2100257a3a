"""What `make` runs, without running it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from settings import CHECKOUT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile, an environment that counts as made, and a talking program."""
    shutil.copy(CHECKOUT / "Makefile", tmp_path)
    for name in ("uv.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (tmp_path / ".venv" / ".synced").touch()
    for name in ("perennial", "python"):
        (programs / name).write_text('#!/bin/sh\nfor word in "$@"; do echo "[$word]"; done\nenv\n')
        (programs / name).chmod(0o755)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "uv").write_text("#!/bin/sh\n")
    (tools / "uv").chmod(0o755)
    return tmp_path


def make(checkout: Path, *arguments: str, **env: str) -> list[str]:
    path = f"{checkout / 'tools'}:{os.environ['PATH']}"
    # Run by `make test`, this make would count itself as a part of that one, and say so.
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    run = subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env={**ours, "PATH": path, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.splitlines()


def words(lines: list[str]) -> list[str]:
    return [line[1:-1] for line in lines if line.startswith("[")]


def test_the_demo_needs_no_arguments(checkout: Path) -> None:
    assert words(make(checkout, "demo")) == ["demo"]


def test_the_demo_is_told_of_the_persons_own_file_whatever_its_columns_are_called(
    checkout: Path,
) -> None:
    given = ("DATA=my data.csv", "TARGET=it's gone", "EVENT_TIME=when", "KEY=id", "DROP=a b,*")
    assert words(make(checkout, "demo", *given, "ARGS=--json")) == [
        *("demo", "--data", "my data.csv", "--target", "it's gone"),
        *("--event-time", "when", "--key", "id", "--drop", "a b", "--drop", "*", "--json"),
    ]


def test_the_callers_own_environment_decides_nothing(checkout: Path) -> None:
    lines = make(checkout, "test", VIRTUAL_ENV="/elsewhere", PYTHONPATH="/elsewhere")
    assert words(lines)[:4] == ["-m", "pytest", "-m", "not long"]
    assert not [line for line in lines if "/elsewhere" in line]
    assert "UV_PYTHON_DOWNLOADS=never" in lines


def test_the_environment_is_made_anew_when_the_lock_file_changed(checkout: Path) -> None:
    stamp = checkout / ".venv" / ".synced"
    os.utime(stamp, (0, 0))
    assert any("uv sync --frozen" in line for line in make(checkout, "setup"))
    assert not any("uv sync" in line for line in make(checkout, "setup"))


def test_benchmarks_that_do_not_exist_are_no_error(checkout: Path) -> None:
    assert make(checkout, "bench") == ["benchmarks/ holds no benchmark yet"]


def test_every_benchmark_that_can_be_run_is_run(checkout: Path) -> None:
    folder = checkout / "benchmarks"
    folder.mkdir()
    (folder / "serving.py").write_text('if __name__ == "__main__":\n    pass\n')
    (folder / "shared.py").write_text("")
    lines = make(checkout, "bench")
    assert words(lines) == ["-m", "benchmarks.serving"]
    assert lines[0] == "== serving.py"
