"""The streams of the replay benchmark: real data in time order, and generators that drift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from learning.generator import generate
from learning.inference import infer_problem
from learning.problem import GeneratorDrift, Problem
from learning.replay_stream import Stream, make_stream, usual_batch
from learning.rows import EVENT_TIME, LABEL, encode
from learning.spans import Span
from operate.demo_data import _in_time_order
from storage.problems import SHIPPED, load_problem
from storage.schemas import schema_of
from storage.tabular import read_table

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL = {
    "elec2": ("class", ("date",)),
    "bank_marketing": ("y", ("duration",)),
    "bike_sharing_hourly": ("cnt", ("casual", "registered", "instant")),
    "etth1": ("OT", ()),
    "occupancy": ("Occupancy", ()),
    "keystroke": ("user", ()),
}
KINDS = ("sudden", "gradual", "recurring", "incremental", "none")
GENERATED_ROWS = 10_000


@dataclass(frozen=True)
class Case:
    """A stream by name; ``load`` gives its problem and, for a label delay, the stream."""

    name: str
    load: Callable[[int, int | None], tuple[Problem, Stream, int]]


def cases() -> list[Case]:
    """All streams whose data is on this machine."""
    real = [
        Case(name, lambda delay, most, name=name: _real(name, delay, most))  # type: ignore[misc]
        for name in REAL
        if (DATA / f"{name}.csv.gz").is_file()
    ]
    made = [
        Case(f"generated {kind}", lambda delay, most, kind=kind: _made(kind, delay, most))  # type: ignore[misc]
        for kind in KINDS
    ]
    return real + made


def _real(name: str, delay: int, most: int | None) -> tuple[Problem, Stream, int]:
    target, drop = REAL[name]
    frame = read_table(DATA / f"{name}.csv.gz")
    n_whole = len(frame)
    drop = tuple(column for column in drop if column in frame)
    frame = frame.iloc[:most]
    problem = infer_problem(frame, target, name=name, drop=drop).problem
    frame, times = _in_time_order(frame, problem)
    frame[EVENT_TIME], frame[LABEL] = times, frame[target]
    schema = schema_of(problem)
    rows = encode(frame, schema)
    batch = usual_batch(len(rows), problem.drift.min_rows)
    return problem, make_stream(rows, schema, Span.parse(delay), batch), n_whole


def _made(kind: str, delay: int, most: int | None) -> tuple[Problem, Stream, int]:
    """The shipped maintenance problem; inputs and relation change from two fifths on."""
    problem, n = load_problem("maintenance", (SHIPPED,)), most or GENERATED_ROWS
    start, length = n * 2 // 5, n // 5
    drift = GeneratorDrift.model_validate(
        {"kind": kind, "of": "both", "start_row": start, "length_rows": length}
    )
    frame = generate(problem, n, 0, drift)
    schema = schema_of(problem)
    frame[EVENT_TIME], frame[LABEL] = frame[problem.event_time], frame[problem.target]
    changes = {"none": (), "recurring": (start, start + length, start + 2 * length)}
    rows, known = encode(frame, schema), changes.get(kind, (start,))
    batch = usual_batch(len(rows), problem.drift.min_rows)
    return problem, make_stream(rows, schema, Span.parse(delay), batch, known), n
