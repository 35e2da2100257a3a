"""Signing in: a token of ours, asked again at every turn so that a revoked one ends at once."""

from __future__ import annotations

import streamlit as st
from sqlalchemy import Engine

from settings import Settings
from storage.tokens import list_tokens, load_tokens
from ui.access import Viewer, open_viewer, token_viewer

KEY = "token"
HOW = "perennial token create --scope read --scope predict\n# to act as well: --scope admin"


def find_viewer(settings: Settings, engine: Engine) -> Viewer | None:
    """Who looks, or None when nobody is signed in or the token opens nothing any more."""
    tokens = load_tokens(engine)
    if (viewer := open_viewer(settings, tokens)) is not None:
        return viewer
    text = st.session_state.get(KEY)
    viewer = token_viewer(settings, tokens, text) if text else None
    return viewer if viewer is not None and viewer.may("read") else None


def ask_to_sign_in(settings: Settings, engine: Engine) -> None:
    """The form, what was wrong with the last try, and how to come by a token."""
    _, middle, _ = st.columns([1, 2, 1])
    with middle:
        st.title("Perennial")
        st.write("Sign in with a token that has the scope `read`. One with `admin` may also act.")
        with st.form("sign-in"):
            text = st.text_input("Token", type="password", placeholder="ID.SECRET")
            is_sent = st.form_submit_button("Sign in", type="primary", width="stretch")
        if is_sent:
            _try(settings, engine, text)
        if not list_tokens(engine) and settings.api_token is None:
            st.info("No token exists yet. Make one in a terminal; it is shown once:")
        else:
            st.caption("Make another one in a terminal; it is shown once:")
        st.code(HOW, language="sh", wrap_lines=True)


def _try(settings: Settings, engine: Engine, text: str) -> None:
    viewer = token_viewer(settings, load_tokens(engine), text)
    if viewer is None:
        st.error("This token opens nothing: it is mistyped, revoked or expired.")
    elif not viewer.may("read"):
        st.error(f"This token has the scopes {', '.join(viewer.scopes)}; expected read.")
    else:
        st.session_state[KEY] = text.strip()
        st.rerun()


def sign_out() -> None:
    """Forget the token of this session."""
    st.session_state.pop(KEY, None)
