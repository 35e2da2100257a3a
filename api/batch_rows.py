"""A batch by columns: what every format is decoded into, and what is wrong with single rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from api.decoder import KEY_LIMIT, PREDICTION_ID, is_clean, parse_time
from api.errors import ApiError
from storage.encoding import (
    FLOAT32_MAX,
    MISSING_CODE,
    EncodingError,
    RowEncoder,
    Value,
    label_text,
)
from storage.manifest import FeatureSpec

ROWS_LIMIT = 100_000
ERRORS_LIMIT = 1_000
# Each is looked for in journals and SQL, and claimed while it is answered.
IDS_LIMIT = 10_000
# What a row may carry beside its features, as columns of CSV and Arrow.
ASIDE = ("key", "event_time", "prediction_id")

Numbers = npt.NDArray[Any]


class BatchSchema:
    """Where a model's numeric and categorical features stand; the lookups are made once."""

    def __init__(self, features: Sequence[FeatureSpec]) -> None:
        self.features = tuple(features)
        self.names = tuple(feature.name for feature in features)
        self.encoder = RowEncoder(features)
        places = range(len(self.features))
        self.number_places = [place for place in places if features[place].kind == "numeric"]
        self.text_places = [place for place in places if features[place].kind != "numeric"]
        self.number_runs = _runs(self.number_places)
        # What was found out about the columns of the last Arrow stream (`api.batch_arrow`).
        self.arrow_plan: Any = None
        self._number_index = np.array(self.number_places, dtype=np.intp)
        self._codes = {place: _exact_codes(features[place]) for place in self.text_places}
        self._single = {place: RowEncoder((features[place],)) for place in self.text_places}

    def numbers_of(self, matrix: Numbers) -> Numbers:
        """The columns of a matrix that are numeric features."""
        return matrix.take(self._number_index, axis=1) if self.text_places else matrix

    def encode_texts(self, place: int, values: Sequence[Value]) -> tuple[Numbers, dict[int, str]]:
        """Codes of one categorical column, and what is wrong with which of its values."""
        found: list[float | None] = list(map(self._codes[place].get, values))
        wrong: dict[int, str] = {}
        if None in found:
            for index, code in enumerate(found):
                if code is None:
                    try:
                        found[index] = self._single[place].encode((values[index],))[0]
                    except EncodingError as error:
                        found[index] = MISSING_CODE
                        wrong[index] = str(error)
        return np.array(found, dtype=np.float32), wrong


def _runs(places: Sequence[int]) -> list[tuple[slice, slice]]:
    """Adjoining places as slices, which copy quickly, each with the slice of their order."""
    runs: list[tuple[slice, slice]] = []
    for index, place in enumerate(places):
        if runs and runs[-1][0].stop == place:
            to, of = runs[-1]
            runs[-1] = slice(to.start, place + 1), slice(of.start, index + 1)
        else:
            runs.append((slice(place, place + 1), slice(index, index + 1)))
    return runs


def _exact_codes(feature: FeatureSpec) -> dict[Any, float]:
    # Only spellings that the encoder would look up as they are: the others take its own way.
    return {
        category: float(code)
        for code, category in enumerate(feature.categories)
        if label_text(category) == category
    }


@dataclass
class Rows:
    """Some rows in schema order: ``numbers`` as sent, ``texts`` as sent and ``codes`` of them.

    A row in ``errors`` holds missing values throughout.
    """

    numbers: Numbers
    texts: list[list[Value]]
    codes: list[Numbers]
    errors: dict[int, tuple[str, str]] = field(default_factory=dict)
    keys: list[str | None] | None = None
    event_times: list[datetime | None] | None = None
    prediction_ids: list[str | None] | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def refuse(self, index: int, code: str, detail: str) -> None:
        """Note the first thing that is wrong with a row."""
        self.errors.setdefault(index, (code, detail))

    def chosen_ids(self) -> list[str]:
        """The ids that clients chose for rows that are not wrong."""
        named = enumerate(self.prediction_ids or ())
        return [name for index, name in named if name is not None and index not in self.errors]

    def check_numbers(self, schema: BatchSchema) -> None:
        """Refuse rows with numbers that the model's float32 input cannot hold."""
        if not self.numbers.size or _is_within(self.numbers):
            return
        with np.errstate(invalid="ignore"):
            wrong = np.abs(self.numbers) > FLOAT32_MAX
        self.numbers = self.numbers.copy()  # it may be a view of the body
        for index in np.flatnonzero(wrong.any(axis=1)).tolist():
            name = schema.names[schema.number_places[int(wrong[index].argmax())]]
            expected = "found a number beyond float32; expected a smaller one"
            self.refuse(index, "invalid_value", f"feature {name!r}: {expected}")
            self.numbers[index] = np.nan

    def matrix(self, schema: BatchSchema) -> npt.NDArray[np.float32]:
        """The model's input, one row each."""
        if not schema.text_places:
            return np.ascontiguousarray(self.numbers, dtype=np.float32)
        whole = np.empty((len(self), len(schema.names)), dtype=np.float32)
        for to, of in schema.number_runs:
            whole[:, to] = self.numbers[:, of]
        for place, column in zip(schema.text_places, self.codes, strict=True):
            whole[:, place] = column
        return whole

    def take(self, indices: Sequence[int]) -> Rows:
        """The rows of these indices, which are all in order."""
        chosen = np.asarray(indices, dtype=np.intp)
        return Rows(
            self.numbers[chosen],
            [[column[index] for index in indices] for column in self.texts],
            [column[chosen] for column in self.codes],
            {},
            self.keys and [self.keys[index] for index in indices],
            self.event_times and [self.event_times[index] for index in indices],
            self.prediction_ids and [self.prediction_ids[index] for index in indices],
        )


def join_rows(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    errors: dict[int, tuple[str, str]] = {}
    start = 0
    for part in parts:
        errors |= {start + index: error for index, error in part.errors.items()}
        start += len(part)
    texts = [
        list(chain.from_iterable(columns))
        for columns in zip(*(part.texts for part in parts), strict=True)
    ]
    codes = [np.concatenate(each) for each in zip(*(part.codes for part in parts), strict=True)]
    return Rows(np.concatenate([part.numbers for part in parts]), texts, codes, errors)


def check_length(n_rows: int) -> None:
    """Raise ApiError 422 unless a batch may have so many rows."""
    if not 0 < n_rows <= ROWS_LIMIT:
        raise ApiError(422, "wrong_length", f"rows: expected 1 to {ROWS_LIMIT} of them")


def add_asides(
    rows: Rows,
    keys: Sequence[Any] | None,
    event_times: Sequence[Any] | None,
    prediction_ids: Sequence[Any] | None,
) -> None:
    """Check the columns beside the features, refusing the rows whose values are wrong.

    Raises ApiError 422 when a column has another length than the batch.
    """
    for name, column in (
        ("keys", keys),
        ("event_times", event_times),
        ("prediction_ids", prediction_ids),
    ):
        if column is not None and len(column) != len(rows):
            raise ApiError(
                422, "wrong_length", f"{name}: found {len(column)}; expected one for each row"
            )
    if keys is not None:
        rows.keys = [_key(rows, index, key) for index, key in enumerate(keys)]
    if event_times is not None:
        rows.event_times = [_time(rows, index, text) for index, text in enumerate(event_times)]
    if prediction_ids is not None:
        if len(prediction_ids) - list(prediction_ids).count(None) > IDS_LIMIT:
            raise ApiError(
                422, "wrong_length", f"prediction_ids: expected at most {IDS_LIMIT} beside null"
            )
        seen: set[str] = set()
        rows.prediction_ids = [
            _id(rows, index, name, seen) for index, name in enumerate(prediction_ids)
        ]


def _key(rows: Rows, index: int, key: str | int | None) -> str | None:
    if key is None:
        return None
    text = str(key)
    if not is_clean(text, KEY_LIMIT):
        detail = f"key: expected at most {KEY_LIMIT} characters, no NUL"
        rows.refuse(index, "invalid_key", detail)
    return text


def _time(rows: Rows, index: int, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_time(text, "event_time")
    except ApiError as error:
        rows.refuse(index, error.code, error.detail)
        return None


def _id(rows: Rows, index: int, name: str | None, seen: set[str]) -> str | None:
    if name is None:
        return None
    if not PREDICTION_ID.fullmatch(name):
        detail = f"prediction_id: expected {PREDICTION_ID.pattern}"
        rows.refuse(index, "invalid_prediction_id", detail)
    elif name in seen:
        rows.refuse(index, "repeated_prediction_id", "an earlier row has the same prediction_id")
    seen.add(name)
    return name


def _is_within(numbers: Numbers) -> bool:
    # fmax and fmin pass over NaN, which is how a missing number is spelt here.
    largest = np.fmax.reduce(numbers, axis=None)
    smallest = np.fmin.reduce(numbers, axis=None)
    return not (largest > FLOAT32_MAX or smallest < -FLOAT32_MAX)
