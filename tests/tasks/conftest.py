"""A home with the small problem, and logs that a failing test shows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from settings import Settings
from tests.factories import bootstrap, small_settings


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
