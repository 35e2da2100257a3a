"""Portions of a table through the champion: features as the model was taught to read them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from api.batch_rows import BatchSchema, Rows
from api.batch_score import Decisions, decide, score
from api.session import ServedModel
from learning.validation_values import NO_NUMBER
from storage.encoding import FLOAT32_MAX, label_text
from storage.portions import Portion
from storage.tabular_error import TableError

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_CODE = re.compile(r"[+-]?0\d")
Errors = dict[int, tuple[str, str]]


class Scorer:
    """Scores portions of a table whose header is ``names``.

    Raises TableError when the table lacks a feature.
    """

    def __init__(self, model: ServedModel, names: Sequence[str], file: str) -> None:
        self.model = model
        self._schema = BatchSchema(model.manifest.features)
        missing = [name for name in self._schema.names if name not in names]
        if missing:
            near = difflib.get_close_matches(missing[0], names, n=1)
            hint = f"; the nearest column is {near[0]!r}" if near else ""
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise TableError(
                "missing_column", f"{file}: column {missing[0]!r} is missing{more}{hint}"
            )
        self._places = [names.index(name) for name in self._schema.names]

    def score(self, portion: Portion) -> tuple[list[int], Decisions, Errors]:
        """Places of the scored rows, what the model says of them, what is wrong with the others.

        Errors are by place in the portion: a code and a sentence that holds no value.
        """
        rows = self._rows(portion)
        good = [place for place in range(len(portion)) if place not in rows.errors]
        output = score(self.model, rows.matrix(self._schema)[good])
        is_finite = np.isfinite(output).all(axis=1)
        for index in np.flatnonzero(~is_finite).tolist():
            rows.refuse(good[index], "model_output", "the model gave no finite answer to this row")
        kept = [place for place in good if place not in rows.errors]
        return kept, decide(self.model, output[is_finite]), rows.errors

    def _rows(self, portion: Portion) -> Rows:
        schema, n_rows = self._schema, len(portion)
        rows = Rows(np.full((n_rows, len(schema.number_places)), np.nan), [], [])
        expected = len(portion.columns)
        for place, n_found in portion.ragged.items():
            rows.refuse(place, "wrong_length", f"found {n_found} fields; expected {expected}")
        for column, place in enumerate(schema.number_places):
            self._fill_numbers(rows, column, place, portion.columns[self._places[place]])
        for place in schema.text_places:
            known = schema.features[place].categories
            values = [_category(v, known) for v in portion.columns[self._places[place]]]
            codes, wrong = schema.encode_texts(place, values)
            rows.codes.append(codes)
            for index, detail in wrong.items():
                rows.refuse(index, "invalid_value", detail)
        return rows

    def _fill_numbers(self, rows: Rows, column: int, place: int, values: list[Any]) -> None:
        name = self._schema.names[place]
        if (numbers := _at_once(values)) is not None:
            rows.numbers[:, column] = numbers
            return
        for index, value in enumerate(values):
            number = read_number(value)
            if number is None:
                detail = f"feature {name!r}: found no number; expected one, or nothing"
                rows.refuse(index, "invalid_value", detail)
            elif abs(number) > FLOAT32_MAX:
                detail = f"feature {name!r}: found a number beyond float32; expected a smaller one"
                rows.refuse(index, "invalid_value", detail)
            else:
                rows.numbers[index, column] = number


def _at_once(values: list[Any]) -> Any:
    """A column of plain numbers as float64; None where its cells have to be looked at singly."""
    kind = pa.string() if any(isinstance(value, str) for value in values) else pa.float64()
    try:
        numbers = pa.array(values, kind).cast(pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowException, TypeError, UnicodeEncodeError):
        return None
    return None if (np.abs(numbers) > FLOAT32_MAX).any() else numbers


def read_number(value: Any) -> float | None:
    """A cell as ingest reads it: NaN where nothing stands, None where no number does."""
    if value is None:
        return float("nan")
    if isinstance(value, bool | int | float | Decimal):
        return _float(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if not text or text in NO_NUMBER:
        return float("nan")
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    return None if "_" in text or not text.isascii() else _float(text)


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return float("inf")
    except ValueError:
        return None


def _category(value: Any, known: Sequence[str]) -> Any:
    """A cell in the spelling of the training rows, where whole columns were numbers or truths."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date | datetime):
        return str(value)
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text:
        return None
    if text in known:
        return text
    if text.lower() in ("true", "false"):
        return text.lower()
    if _NUMBER.fullmatch(text) and not _CODE.match(text):
        return label_text(float(text))
    return text
