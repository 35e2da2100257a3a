"""Starts the status page: `python -m ui`. Its address is in the settings, loopback by default."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from settings import CHECKOUT, Settings, get_settings
from ui.theme import THEME

# A first look would wait for these.
WARM = ("pandas", "plotly.graph_objects", "plotly.io", "pyarrow.parquet", "ui.frame")


def options(settings: Settings) -> dict[str, Any]:
    """Streamlit's options, as its command line would take them."""
    return {
        "server_address": settings.ui_host,
        "server_port": settings.ui_port,
        "server_headless": True,
        "server_fileWatcherType": "none",
        "server_enableXsrfProtection": True,
        "server_maxUploadSize": 1,
        "browser_gatherUsageStats": False,
        "browser_serverAddress": settings.ui_host,
        "client_toolbarMode": "viewer",
        "client_showErrorDetails": "none",
        "logger_level": "warning",
        "logger_hideWelcomeMessage": True,
        **THEME,
    }


def main() -> None:
    """Serve until a signal ends it."""
    from streamlit.web import bootstrap

    settings = get_settings()
    if str(CHECKOUT) not in sys.path:
        sys.path.insert(0, str(CHECKOUT))
    bootstrap.load_config_options(options(settings))
    for name in WARM:
        import_module(name)
    sys.stdout.write(f"status page at http://{settings.ui_host}:{settings.ui_port}\n")
    sys.stdout.flush()
    bootstrap.run(str(Path(__file__).with_name("app.py")), False, [], options(settings))


if __name__ == "__main__":
    main()
