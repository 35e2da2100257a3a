"""What a newcomer types, word for word as the quick start says it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from settings import CHECKOUT
from tests.walk import newcomer


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_quick_start_leads_to_an_answer_and_why(tmp_path: Path) -> None:
    ready = subprocess.run(["make", "-q", "setup"], cwd=CHECKOUT, capture_output=True, check=False)
    if ready.returncode != 0:
        pytest.skip(".venv is older than uv.lock: run `make setup` first")
    with newcomer(tmp_path) as walk:
        walk.take(CHECKOUT / "docs" / "quick-start.md")
    for words in ("written to", "outcome: promoted", "version 1", "decided by"):
        assert words in walk.told
    assert '"prediction":"yes"' in walk.told
    assert '{"accepted":1,"duplicates":0,"errors":[]}' in walk.told
    assert "(base value)" in walk.told
    assert (tmp_path / "problems" / "customers.yaml").exists()
    assert (tmp_path / ".perennial" / "store").is_dir()
