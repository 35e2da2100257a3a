"""What every page is given: the database, the problem, and who looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine

from settings import Settings
from storage.database import reading
from ui.access import Viewer
from ui.api_client import Api


@dataclass(frozen=True)
class Scene:
    """One look at one problem."""

    settings: Settings
    engine: Engine
    problem: str
    viewer: Viewer

    @contextmanager
    def tables(self) -> Iterator[Connection]:
        """A connection for reads."""
        with reading(self.engine) as connection:
            yield connection

    @property
    def api(self) -> Api:
        """The API, asked as the viewer."""
        return Api(self.settings.ui_api, self.problem, self.viewer.token)

    @property
    def inbox(self) -> Path:
        """Where a person puts files of rows."""
        return self.settings.home / "inbox" / self.problem
