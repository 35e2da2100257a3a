"""Who may look and who may act, without a browser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from settings import Settings
from storage.credentials import SCOPES, Token, hash_secret
from ui.access import open_viewer, token_viewer

NOW = datetime.now(UTC)


def token(**changes: object) -> Token:
    fields: dict[str, object] = {
        "token_id": "abc",
        "secret_sha256": hash_secret(b"right"),
        "scopes": ("read",),
        "label": "phone",
        "created_at": NOW,
    }
    return Token(**{**fields, **changes})  # type: ignore[arg-type]


def make_settings(home: Path, **values: object) -> Settings:
    return Settings(_env_file=None, home=home, **values)  # type: ignore[arg-type]


def test_a_live_token_opens_what_its_scopes_say(settings: Settings) -> None:
    viewer = token_viewer(settings, [token()], " abc.right\n")
    assert viewer is not None
    assert (viewer.name, viewer.token) == ("abc (phone)", "abc.right")
    assert viewer.may("read")
    assert not viewer.may("admin")


@pytest.mark.parametrize("text", ["", "abc", "abc.wrong", "abd.right", "abc.ünrécht", ".right"])
def test_a_wrong_token_opens_nothing(settings: Settings, text: str) -> None:
    assert token_viewer(settings, [token()], text) is None


@pytest.mark.parametrize(
    "changes",
    [{"revoked_at": NOW}, {"expires_at": NOW - timedelta(seconds=1)}],
    ids=["revoked", "expired"],
)
def test_an_ended_token_opens_nothing(settings: Settings, changes: dict[str, object]) -> None:
    assert token_viewer(settings, [token(**changes)], "abc.right") is None


def test_the_token_of_the_settings_may_everything(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, api_token=SecretStr("from-the-env"))
    viewer = token_viewer(settings, [], "from-the-env")
    assert viewer is not None
    assert viewer.scopes == SCOPES
    assert token_viewer(settings, [], "") is None


def test_only_this_machine_without_any_token_needs_none(tmp_path: Path) -> None:
    opened = make_settings(tmp_path, api_insecure=True)
    assert open_viewer(opened, []) is not None
    assert open_viewer(opened, [token()]) is None
    assert open_viewer(make_settings(tmp_path), []) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"ui_host": "0.0.0.0"},
        {"api_host": "0.0.0.0"},
        {"ui_host": "somewhere"},
        {"api_token": SecretStr("x")},
    ],
    ids=["page everywhere", "api everywhere", "a name", "a token of the settings"],
)
def test_what_others_can_reach_is_never_open(tmp_path: Path, changes: dict[str, object]) -> None:
    assert open_viewer(make_settings(tmp_path, api_insecure=True, **changes), []) is None
