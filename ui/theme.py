"""Colours and type of the status page, for light and for dark screens."""

from __future__ import annotations

from typing import Any

THEME: dict[str, Any] = {
    "theme_primaryColor": "#2f9e6e",
    "theme_baseRadius": "0.6rem",
    "theme_light_backgroundColor": "#ffffff",
    "theme_light_secondaryBackgroundColor": "#f3f6f4",
    "theme_light_textColor": "#1d2733",
    "theme_dark_backgroundColor": "#12171d",
    "theme_dark_secondaryBackgroundColor": "#1b232c",
    "theme_dark_textColor": "#e6ebf0",
    "theme_showWidgetBorder": True,
}
