"""The document's process may hang, die or say no: the loop waits no longer than it said."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from learning.drift_report import Answers
from learning.problem import Feature
from tasks import report_process
from tasks.report_process import (
    Drawer,
    ReportError,
    Request,
    draw,
    read_request,
    write_request,
)

FEATURES = (Feature(name="age"), Feature(name="plan", kind="categorical", categories=("a", "b")))


def request(n: int = 100) -> Request:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=n), rng.integers(0, 2, n)]).astype(np.float32)
    chance = rng.random(n)
    y = (rng.random(n) < chance).astype(np.float64)
    output = np.column_stack([1 - chance, chance])
    answers = Answers("binary", ("no", "yes"), y, output, 0.5)
    return Request(x, x + 1, FEATURES, 0.05, 0.1, answers)


def drawer(code: str) -> Drawer:
    return Drawer((sys.executable, "-c", code))


def test_a_request_is_read_as_it_was_written(tmp_path: Path) -> None:
    asked = request()
    write_request(tmp_path / "request.npz", asked)
    read = read_request(tmp_path / "request.npz")
    np.testing.assert_array_equal(read.reference, asked.reference)
    np.testing.assert_array_equal(read.current, asked.current)
    assert (read.features, read.alpha, read.share) == (FEATURES, 0.05, 0.1)
    assert asked.answers is not None
    assert read.answers is not None
    np.testing.assert_array_equal(read.answers.output, asked.answers.output)
    assert (read.answers.task, read.answers.classes) == ("binary", ("no", "yes"))


def test_a_request_without_answers_has_none(tmp_path: Path) -> None:
    asked = request()
    bare = Request(asked.reference, asked.current, FEATURES, 0.05, 0.1)
    write_request(tmp_path / "request.npz", bare)
    assert read_request(tmp_path / "request.npz").answers is None


def test_a_process_that_hangs_is_ended_and_the_next_one_started_afresh() -> None:
    hanging = drawer("import threading; threading.Event().wait()")
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(ReportError, match=r"not drawn within 0\.2 s"):
            hanging.draw(request(), 0.2)
        assert time.monotonic() - began < 20.0
        assert hanging._process is None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os._exit(3)", "ended|gone"),
        ("input(); print('ValueError: all is NaN')", "ValueError: all is NaN"),
        ("import os; input(); os.abort()", "ended"),
    ],
)
def test_what_the_process_says_or_its_death_is_the_error(code: str, said: str) -> None:
    failing = drawer(code)
    with pytest.raises(ReportError, match=said):
        failing.draw(request(), 20.0)
    failing.close()


def test_nothing_to_show_is_no_document() -> None:
    silent = drawer("input(); print('nothing')")
    assert silent.draw(request(), 20.0) is None
    silent.close()


@pytest.mark.slow  # imports Evidently
def test_the_real_process_draws_data_and_answers_and_stays_for_the_next() -> None:
    html = draw(request(), 120.0)
    first = report_process._DRAWER._process
    assert html is not None
    assert html.count("srcdoc=") == 2
    assert "Answers whose label has arrived" in html
    empty = Request(*(np.full((60, 1), np.nan, np.float32),) * 2, FEATURES[:1], 0.05, 0.1)
    assert draw(empty, 120.0) is None
    assert report_process._DRAWER._process is first
