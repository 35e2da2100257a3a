"""The page of examples shows what the channels are sent now."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
TOLD = "run: python docs/make_alert_examples.py"
PICTURE = re.compile(r"base64,[A-Za-z0-9+/=]*")


def test_the_page_and_its_pictures_are_made_from_the_payloads_of_now() -> None:
    make = runpy.run_path(str(DOCS / "make_alert_examples.py"))
    found = make["examples"]()
    assert (DOCS / "alert-examples.md").read_text(encoding="utf-8") == make["page"](found), TOLD
    for name, message in found.items():
        kept = (DOCS / "alerts" / make["_file"](name)).read_text(encoding="utf-8")
        # The plots' bytes differ between versions of matplotlib.
        assert PICTURE.sub("", kept) == PICTURE.sub("", make["drawing"](message)), TOLD
