"""The script that Streamlit runs at every turn; `python -m ui` starts it."""

from __future__ import annotations

from ui.frame import run

run()
