"""How raw values become a model's input row: the same rule for training, parity and answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storage.manifest import FeatureSpec

MISSING_CODE = -1.0
FLOAT32_MAX = 3.4028234663852886e38
TEXT_LIMIT = 1_000

Value = bool | int | float | str | None


class EncodingError(ValueError):
    """A value that the schema does not allow; the message never holds the value."""

    def __init__(self, feature: str, expected: str) -> None:
        super().__init__(f"feature {feature!r}: {expected}")
        self.feature = feature


def label_text(value: Any) -> str:
    """The one spelling of a class label or category, as `learning.problem.label_text` has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


class RowEncoder:
    """Encodes rows of one schema; the lookups are made once."""

    def __init__(self, features: Sequence[FeatureSpec]) -> None:
        self.names = tuple(feature.name for feature in features)
        self._codes = tuple(_codes(feature) for feature in features)

    def encode(self, values: Sequence[Value]) -> list[float]:
        """One number per feature, in schema order: NaN or -1 where a value is missing.

        Raises EncodingError for a value of another type or beyond float32.
        """
        if len(values) != len(self.names):
            raise ValueError(f"found {len(values)} values; expected {len(self.names)}")
        row = []
        for position, (value, codes) in enumerate(zip(values, self._codes, strict=True)):
            if codes is not None:
                row.append(_code(value, codes, self.names[position]))
            elif type(value) is float and -FLOAT32_MAX <= value <= FLOAT32_MAX:
                row.append(value)
            else:
                row.append(_number(value, self.names[position]))
        return row


def encode_row(features: Sequence[FeatureSpec], values: Sequence[Value]) -> list[float]:
    """One row of raw values in schema order as the model's numbers (see `RowEncoder`)."""
    return RowEncoder(features).encode(values)


def _codes(feature: FeatureSpec) -> dict[str, float] | None:
    if feature.kind == "numeric":
        return None
    return {category: float(code) for code, category in enumerate(feature.categories)}


def _number(value: Value, name: str) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, str):
        raise EncodingError(name, "found text; expected a number or null")
    if value != value:  # NaN is how frames spell a missing number
        return float("nan")
    if not -FLOAT32_MAX <= value <= FLOAT32_MAX:
        raise EncodingError(name, "found a number beyond float32; expected a smaller one")
    return float(value)


def _code(value: Value, codes: dict[str, float], name: str) -> float:
    if value is None or value != value:
        return MISSING_CODE
    if isinstance(value, str):
        if len(value) > TEXT_LIMIT or "\0" in value:
            raise EncodingError(name, f"expected text of at most {TEXT_LIMIT} characters, no NUL")
    elif not -FLOAT32_MAX <= value <= FLOAT32_MAX:
        raise EncodingError(name, "found a number beyond float32; expected a category")
    return codes.get(label_text(value), MISSING_CODE)
