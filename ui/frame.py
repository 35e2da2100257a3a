"""The frame around every page: the database, signing in, the problem, the way between pages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from settings import Settings, get_settings
from storage.database import StorageError, bounded_url, open_engine, upgrade
from ui import (
    page_data,
    page_drift,
    page_generate,
    page_models,
    page_overview,
    page_performance,
    page_releases,
    page_replay,
    page_try,
)
from ui.access import Viewer
from ui.scene import Scene
from ui.sign_in import ask_to_sign_in, find_viewer, sign_out
from ui.words import literal

ICON = Path(__file__).with_name("icon.svg")
Page = Callable[[Scene], None]
PAGES: dict[str, tuple[Page, str]] = {
    "Overview": (page_overview.show, ":material/home:"),
    "Performance": (page_performance.show, ":material/monitoring:"),
    "Drift": (page_drift.show, ":material/grid_on:"),
    "Releases": (page_releases.show, ":material/rocket_launch:"),
    "Models": (page_models.show, ":material/model_training:"),
    "Data": (page_data.show, ":material/database:"),
    "Generate": (page_generate.show, ":material/casino:"),
    "Try": (page_try.show, ":material/science:"),
    "Replay": (page_replay.show, ":material/history:"),
}


@st.cache_resource(show_spinner=False)
def opened(url: str) -> Engine:
    """The database of this process, its tables brought to this version first."""
    upgrade(url)
    return open_engine(bounded_url(url))


def run(first: str = "Overview") -> None:
    """One turn of the script: whatever page the address names, ``first`` where it names none."""
    settings = get_settings()
    st.set_page_config(page_title="Perennial", page_icon=str(ICON), layout="wide")
    try:
        engine = opened(settings.sql_url)
        viewer = find_viewer(settings, engine)
        _show(settings, engine, viewer, first)
    except (SQLAlchemyError, StorageError) as error:
        st.error(
            f"The database does not answer ({type(error).__name__}). Predictions go on without "
            "it; this page does not. `perennial doctor` says what is wrong; then reload.",
            icon=":material/database_off:",
        )


def _show(settings: Settings, engine: Engine, viewer: Viewer | None, first: str) -> None:
    def page_of(show: Page) -> None:
        if viewer is None:
            ask_to_sign_in(settings, engine)
            return
        scene = Scene(settings, engine, chosen_problem(settings), viewer)
        st.title(st.session_state["page"])
        show(scene)

    pages = [
        st.Page(
            partial(page_of, show),
            title=title,
            icon=icon,
            # That of the first page is the root, whatever is written here.
            url_path="first" if title == first else title.lower(),
            default=title == first,
        )
        for title, (show, icon) in PAGES.items()
    ]
    # Whoever writes the first page's name out gets it as well.
    pages.append(
        st.Page(
            partial(page_of, PAGES[first][0]),
            title=first,
            url_path=first.lower(),
            visibility="hidden",
        )
    )
    here = st.navigation(pages, position="hidden" if viewer is None else "sidebar")
    st.session_state["page"] = here.title
    st.logo(ICON, size="large")
    if viewer is not None:
        _side(settings, viewer)
    here.run()


def chosen_problem(settings: Settings) -> str:
    """The problem that the person picked, the default one before."""
    return str(st.session_state.get("problem") or settings.active[0])


def _side(settings: Settings, viewer: Viewer) -> None:
    with st.sidebar:
        if len(settings.active) > 1:
            st.selectbox("Problem", settings.active, key="problem")
        else:
            st.caption(f"Problem **{literal(settings.active[0])}**")
        for name, url in _links(settings).items():
            st.link_button(name, url, type="tertiary", icon=":material/open_in_new:")
        who = "may act" if viewer.may("admin") else "may look"
        st.caption(f"{literal(viewer.name)}: {who}")
        if viewer.token is not None:
            st.button("Sign out", on_click=sign_out, icon=":material/logout:")


def _links(settings: Settings) -> dict[str, str]:
    found = {"Flows (Prefect)": settings.prefect_base, "Models (MLflow)": settings.mlflow_base}
    found["API documentation"] = f"{settings.api_base}/docs" if settings.api_base else None
    return {name: url for name, url in found.items() if url is not None}
