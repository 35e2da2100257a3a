"""A home with the small problem, and logs that a failing test shows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from settings import Settings
from tests.factories import bootstrap, serve_rows, small_rows, small_settings, tick
from tests.tasks.staged import POLICY, quiet


@pytest.fixture
def small(tmp_path: Path) -> Settings:
    """Settings of an empty home with the small problem."""
    return small_settings(tmp_path / "home")


@pytest.fixture
def small_sql(tmp_path: Path, database_url: str) -> Settings:
    """The same on each kind of database."""
    return small_settings(tmp_path / "home", database_url)


@pytest.fixture(scope="session")
def championed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose loop has made its first champion from rows 0 to 400; copy it."""
    home = tmp_path_factory.mktemp("championed")
    bootstrap(small_settings(home))
    return home


@pytest.fixture
def championed(championed_home: Path, tmp_path: Path) -> Settings:
    """Settings of a copy of that home."""
    shutil.copytree(championed_home, tmp_path / "home")
    return small_settings(tmp_path / "home")


@pytest.fixture(scope="session")
def shadowed_home(championed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where version 2 won at the gate on a turned world and is in the shadow of 1."""
    home = tmp_path_factory.mktemp("shadowed") / "home"
    shutil.copytree(championed_home, home)
    settings = small_settings(home, rollout=POLICY)
    serve_rows(settings, small_rows(400, 350, turned=True), "1")
    assert tick(settings, 750)["challenger"]["outcome"] == "shadow"
    return home


@pytest.fixture
def shadowed(shadowed_home: Path, tmp_path: Path) -> Settings:
    """Settings of a copy of that home; nothing is trained from here on."""
    shutil.copytree(shadowed_home, tmp_path / "home")
    return quiet(tmp_path / "home")


class PowerCutError(BaseException):
    """Ends a run as abruptly as Python can."""


@pytest.fixture
def cut_before(monkeypatch: pytest.MonkeyPatch) -> Callable[[object, str], None]:
    """Makes the next call of a function end the run; later calls work again."""

    def arm(owner: object, name: str) -> None:
        works = getattr(owner, name)

        def cut(*_args: object, **_options: object) -> None:
            monkeypatch.setattr(owner, name, works)
            raise PowerCutError

        monkeypatch.setattr(owner, name, cut)

    return arm
