"""Training gives way to answering."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from operate.priority import NICENESS

GIVE_WAY = """
import os, sys
from pathlib import Path
from operate.priority import give_way
give_way(Path(sys.argv[1]))
print(os.nice(0))
"""


@pytest.mark.parametrize("leads", [True, False])
def test_it_is_nicer_and_so_is_the_session_that_it_leads(tmp_path: Path, leads: bool) -> None:
    group = tmp_path / "autogroup"
    group.write_text("/autogroup-7 nice 0\n")
    done = subprocess.run(
        [sys.executable, "-c", GIVE_WAY, str(group)],
        start_new_session=leads,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == min(19, os.nice(0) + NICENESS)
    assert group.read_text() == (f"{NICENESS}\n" if leads else "/autogroup-7 nice 0\n")


def test_a_system_without_such_groups_is_no_error(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere" / "autogroup"
    command = [sys.executable, "-c", GIVE_WAY, str(missing)]
    done = subprocess.run(
        command, start_new_session=True, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == min(19, os.nice(0) + NICENESS)
    assert not missing.exists()
