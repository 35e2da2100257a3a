"""What is read from a flow's file."""

from __future__ import annotations

import inspect
from pathlib import Path

from operate.stack_deploy import read_flow


def test_a_flow_is_described_without_importing_what_it_needs(tmp_path: Path) -> None:
    file = tmp_path / "loop.py"
    file.write_text(
        "from datetime import datetime\n"
        "import a_module_that_takes_ten_seconds as heavy\n"
        "@heavy.flow(name='the loop')\n"
        "def loop(problem: str | None = None, now: datetime | None = None):\n"
        "    'Ticks.'\n"
        "    heavy.work()\n"
        "@heavy.flow\n"
        "def two_words(table: heavy.Table):\n"
        "    pass\n"
    )
    name, stub = read_flow(file, "loop")
    assert name == "the loop"
    assert stub is not None
    assert stub.__doc__ == "Ticks."
    assert str(inspect.signature(stub)) == (
        "(problem: str | None = None, now: datetime.datetime | None = None)"
    )
    assert read_flow(file, "two_words") == ("two-words", None)
