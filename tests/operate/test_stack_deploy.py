"""What is read from a flow's file."""

from __future__ import annotations

import inspect
from pathlib import Path

from operate.stack_deploy import as_often_as_asked, read_deployments, read_flow
from settings import CHECKOUT
from storage.problems import write_problem
from tests.factories import small_problem, small_settings


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


def test_the_loops_schedule_comes_as_often_as_the_problem_files_ask(tmp_path: Path) -> None:
    settings = small_settings(tmp_path, every="5m")
    entries = {entry["name"]: entry for entry in read_deployments(CHECKOUT / "prefect.yaml")}
    loop, care = entries["continual"], entries["maintain"]
    assert as_often_as_asked(care, settings) == care
    (schedule,) = as_often_as_asked(loop, settings)["schedules"]
    assert schedule == {"interval": 300, "slug": "every-300-seconds"}
    write_problem(small_problem(name="other", every="10s"), tmp_path / "problems")
    both = settings.model_copy(update={"active": ("small", "other")})
    assert as_often_as_asked(loop, both)["schedules"][0]["interval"] == 10
    gone = settings.model_copy(update={"active": ("nobody",)})
    assert as_often_as_asked(loop, gone) == loop
