"""Whole files whose columns or cells are not what they should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from tests.factories import START
from tests.tasks.damaged import Case, Kept, N, Outcome, Refused, plain, text
from tests.tasks.damaged_files import FILES

Frame = Callable[[pd.DataFrame], pd.DataFrame]


def with_cells(column: str, *values: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The first cells of a column replaced."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        cells = frame[column].tolist()
        return frame.assign(**{column: [*values, *cells[len(values) :]]})

    return change


def whole(column: str, values: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A whole column replaced: by a list, or by what a function makes of each row's number."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        made = [values(row) for row in range(N)] if callable(values) else values
        return frame.assign(**{column: made})

    return change


# What is wrong with the table: how it is changed, what becomes of it.
TABLES: dict[str, tuple[Frame, Outcome]] = {
    "columns in another order": (
        lambda f: f[sorted(f.columns)],
        Kept(column="count", values=list(range(N))),
    ),
    "one column more": (lambda f: f.assign(note="=1+1"), Kept()),
    "the index as first column": (lambda f: f.reset_index(names=""), Kept()),
    "a column missing": (lambda f: f.drop(columns="temp"), Refused("column 'temp' is missing")),
    "four columns missing": (lambda f: f[["row_id", "when"]], Refused("(and 1 more)")),
    "a column renamed": (
        lambda f: f.rename(columns={"temp": "temps"}),
        Refused("column 'temp' is missing; the nearest column is 'temps': rename it"),
    ),
    "capital letters in a name": (
        lambda f: f.rename(columns=str.upper),
        Refused("column 'temp' is missing; the nearest column is 'TEMP'"),
    ),
    "another spelling of a name": (
        lambda f: f.rename(columns={"row_id": "Row ID"}),
        Refused("column 'row_id' is missing; the nearest column is 'Row ID'"),
    ),
    "blanks around names": (lambda f: f.rename(columns=lambda name: f" {name} "), Kept()),
    "no key column": (lambda f: f.drop(columns="row_id"), Refused("column 'row_id' is missing")),
    "no time column": (lambda f: f.drop(columns="when"), Refused("column 'when' is missing")),
    "no target column": (
        lambda f: f.drop(columns="label"),
        Kept(column="_label", values=[float("nan")] * N),
    ),
    "the target in capital letters": (
        lambda f: f.rename(columns={"label": "LABEL"}),
        Refused("the target column 'label' is missing but 'LABEL' stands there"),
    ),
    "the target all missing": (
        whole("label", [None] * N),
        Kept(column="_label", values=[float("nan")] * N),
    ),
    "words for numbers": (
        whole("temp", ["warm", "cold"] * 12),
        Refused("column 'temp' held numbers and now holds text"),
    ),
    "times for numbers": (
        lambda f: f.assign(temp=f["when"]),
        Refused("column 'temp' held numbers and now holds times"),
    ),
    "a decimal comma, quoted": (
        whole("temp", lambda row: f"{row},5"),
        Refused("now holds numbers written with commas (write 1234.5)"),
    ),
    "thousands separators": (
        whole("count", lambda row: f"{row + 1},234"),
        Refused("now holds numbers written with commas (write 1234.5)"),
    ),
    "per cent": (whole("temp", lambda row: f"{row}%"), Refused("held numbers and now holds text")),
    "a currency": (
        whole("temp", lambda row: f"${row}"),
        Refused("held numbers and now holds text"),
    ),
    "numbers for words": (
        whole("plan", [0, 1] * 12),
        Refused("column 'plan' held text and now holds numbers"),
    ),
    "truths for words": (
        whole("plan", [True, False] * 12),
        Refused("column 'plan' held text and now holds true and false"),
    ),
    "words for times": (
        whole("when", ["yesterday"] * N),
        Refused("column 'when' held times and now holds text"),
    ),
    "seconds since 1970 for times": (
        whole("when", lambda row: 1_767_225_600 + row),
        Refused("column 'when' held times and now holds numbers"),
    ),
    "days since 1900 for times": (
        whole("when", lambda row: 46_023.5 + row),
        Refused("column 'when' held times and now holds numbers"),
    ),
    "several types changed": (
        lambda f: f.assign(temp="x", count="y"),
        Refused("'temp' held numbers and now holds text; column 'count' held numbers"),
    ),
    "one word among numbers": (with_cells("temp", "warm"), Kept(N - 1, {"temp: not a number": 1})),
    "half of the rows and one more bad": (
        with_cells("temp", *["warm"] * 13),
        Refused("13 of 24 rows are bad, more than the share 0.5"),
    ),
    "half of the rows bad": (
        with_cells("temp", *["warm"] * 12),
        Kept(N - 12, {"temp: not a number": 12}),
    ),
    "1e400": (with_cells("temp", "1e400", "-1e400"), Kept(N - 2, {"temp: not finite": 2})),
    "Infinity": (with_cells("temp", "Infinity", "-inf"), Kept(N - 2, {"temp: not finite": 2})),
    "NaN in many spellings": (
        with_cells("temp", "NaN", "nan", "NA", "N/A", "null", "None", "?", " ", "#N/A"),
        Kept(),
    ),
    "NaN in many spellings beside a word": (
        with_cells("temp", "NaN", "n/a", "NULL", "oops", "?", ""),
        Kept(N - 1, {"temp: not a number": 1}),
    ),
    "nothing where something must be": (
        with_cells("count", None, "NA", " "),
        Kept(N - 3, {"count: missing": 3}),
    ),
    "no category where one must be": (
        with_cells("region", None, " "),
        Kept(N - 2, {"region: missing": 2}),
    ),
    "outside of the range": (
        with_cells("temp", -0.001, 100.001, 0, 100),
        Kept(N - 2, {"temp: below 0": 1, "temp: above 100": 1}),
    ),
    "an unseen category that is accepted": (
        with_cells("plan", "gold"),
        Kept(column="plan", values=["gold", "pro"] + ["basic", "pro"] * 11),
    ),
    "an unseen category that is not": (
        with_cells("region", "moon", "North"),
        Kept(N - 2, {"region: not one of the known categories": 2}),
    ),
    "blanks around categories": (
        with_cells("region", " north ", "south\t"),
        Kept(column="region", values=["north", "south"] * 12),
    ),
    "an unknown class": (
        with_cells("label", "maybe"),
        Kept(N - 1, {"label: not one of the known classes": 1}),
    ),
    "classes in capital letters": (
        whole("label", ["No", "Yes"] * 12),
        Refused("most often: label: not one of the known classes"),
    ),
    "no key": (with_cells("row_id", None, " "), Kept(N - 2, {"row_id: the key is missing": 2})),
    "true and false for numbers": (
        whole("temp", ["true", "FALSE"] * 12),
        Kept(column="temp", values=[1.0, 0.0] * 12),
    ),
    "yes and no for numbers": (whole("temp", ["yes", "no"] * 12), Refused("now holds text")),
    "truths in many spellings as categories": (
        with_cells("plan", "true", "True", "Y", "1", "on"),
        Kept(),
    ),
    "leading zeros in a number": (
        with_cells("count", "007"),
        Kept(column="count", values=[7.0, *range(1, N)]),
    ),
    "a whole number beyond int64": (
        with_cells("count", "99999999999999999999"),
        Kept(column="count", values=[1e20, *range(1, N)]),
    ),
    "a hexadecimal number": (with_cells("count", "0x1F"), Kept(N - 1, {"count: not a number": 1})),
    "an underscore in a number": (
        with_cells("count", "1_000"),
        Kept(N - 1, {"count: not a number": 1}),
    ),
    "blanks around numbers": (
        with_cells("count", " 5 ", "6 "),
        Kept(column="count", values=[5.0, 6.0, *range(2, N)]),
    ),
    "a column of blanks": (
        whole("temp", [" "] * N),
        Kept(column="temp", values=[float("nan")] * N),
    ),
    "quoted line ends in a text": (
        with_cells("plan", "ba\nsic", 'p"r"o'),
        Kept(column="plan", values=["ba\nsic", 'p"r"o'] + ["basic", "pro"] * 11),
    ),
    "formulas and emoji in a text": (with_cells("plan", "=1+1", "\U0001f600", "\x07"), Kept()),
    "day before month": (
        whole("when", lambda row: f"{row + 1:02}/01/2026"),
        Kept(column="_event_time", values=list(pd.date_range("2026-01-01", periods=N, tz="UTC"))),
    ),
    "month before day": (
        whole("when", lambda row: f"01/{row + 1:02}/2026"),
        Kept(column="_event_time", values=list(pd.date_range("2026-01-01", periods=N, tz="UTC"))),
    ),
    "times with offsets": (
        whole("when", ["2026-01-01T02:00:00+02:00", "2025-12-31T19:00:00-05:00"] * 12),
        Kept(column="_event_time", values=[pd.Timestamp(START)] * N),
    ),
    "local times in the hour that summer time skips": (
        whole("when", ["2025-03-30 02:30:00"] * N),
        Kept(column="_event_time", values=[pd.Timestamp("2025-03-30 02:30", tz="UTC")] * N),
    ),
    "local times in the hour that comes twice": (
        whole("when", ["2025-10-26 02:30:00+02:00", "2025-10-26 02:30:00+01:00"] * 12),
        Kept(
            column="_event_time",
            values=[
                pd.Timestamp("2025-10-26 00:30", tz="UTC"),
                pd.Timestamp("2025-10-26 01:30", tz="UTC"),
            ]
            * 12,
        ),
    ),
    "times from the far future": (
        with_cells("when", "2206-01-01T00:00:00+00:00", "9999-12-31T00:00:00+00:00"),
        Kept(N - 2, {"when: further ahead than max_ahead allows": 2}),
    ),
    "days that are none": (
        with_cells("when", "2026-02-30T00:00:00+00:00", "0000-00-00", "n/a", None),
        Kept(N - 4, {"when: not a time": 4}),
    ),
}


def twice(prefix: str, **changes: Any) -> pd.DataFrame:
    """Rows of which the first stands there again at the end, with these values."""
    frame = plain(prefix)
    return pd.concat([frame, frame.head(1).assign(**changes)], ignore_index=True)


def repeats() -> Iterator[Case]:
    """Keys that stand twice, within a file and between files; ``base`` was ingested before."""
    name = "row_id: the key stands twice"
    yield "a row twice", text(twice("twice")).encode(), Kept(N, n_repeated=1)
    other = text(twice("other", temp=99.0)).encode()
    yield "a key twice with other values", other, Kept(N, {name: 1})
    again = plain("base").assign(note="sent again")
    yield "rows of a former file", text(again).encode(), Kept(0, n_repeated=N)
    changed = plain("base").assign(temp=99.0, label="yes")
    yield "other values for known keys", text(changed).encode(), Kept(0, n_repeated=N)


def cases() -> dict[str, tuple[str, bytes, Outcome]]:
    """Every damaged file by what is wrong with it: its name, its bytes, what becomes of it."""
    found: dict[str, tuple[str, bytes, Outcome]] = {}
    for name, (suffix, make, outcome) in FILES.items():
        found[name] = (f"{len(found):03}.{suffix}", make(plain(f"{len(found):03}")), outcome)
    for name, (change, outcome) in TABLES.items():
        content = text(change(plain(f"{len(found):03}"))).encode()
        found[name] = (f"{len(found):03}.csv", content, outcome)
    for name, content, outcome in repeats():
        found[name] = (f"{len(found):03}.csv", content, outcome)
    return found
