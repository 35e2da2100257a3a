"""Homes and signed-in scripts for the pages' tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import settings as settings_module
from operate.stack_services import environment_of
from settings import Settings
from tests.factories import small_settings
from tests.ui.home import full_home

Look = Callable[..., AppTest]


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a past; copy it before changing anything."""
    home = tmp_path_factory.mktemp("full-home")
    full_home(home)
    return home


@pytest.fixture
def full(past: Path, tmp_path: Path) -> Settings:
    """Settings of a copy of that home."""
    shutil.copytree(past, tmp_path / "home")
    return small_settings(tmp_path / "home")


@pytest.fixture
def empty(tmp_path: Path) -> Settings:
    """Settings of a home where nothing has happened."""
    return small_settings(tmp_path / "home")


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Iterator[Look]:
    """Runs the status page's script on a page, as somebody who holds a token or none."""

    def run(settings: Settings, page: str = "Overview", token: str | None = None) -> AppTest:
        monkeypatch.chdir(settings.home)
        for name, value in environment_of(settings).items():
            monkeypatch.setenv(name, value)
        settings_module.get_settings.cache_clear()
        script = f"from ui.frame import run\n\nrun({page!r})\n"
        app = AppTest.from_string(script, default_timeout=60)
        if token is not None:
            app.session_state["token"] = token
        return app.run()

    yield run
    settings_module.get_settings.cache_clear()
    st.cache_resource.clear()
    st.cache_data.clear()
