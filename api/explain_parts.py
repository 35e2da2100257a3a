"""What the two ways of explaining have in common: outputs, links and their own prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]

SCALES = ("log-odds", "probability", "value")
LINKS = ("logistic", "softmax", "identity")
# As in the graphs that training writes: nearer probabilities hold too few digits in float32.
CALIBRATED_FROM = 1e-5


class ExplanationError(Exception):
    """There is no explanation that could be stood for; ``code`` names the cause."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Attribution:
    """One output's prediction taken apart: ``base`` and one contribution per feature."""

    base: float
    contributions: Floats


@dataclass(frozen=True)
class Outputs:
    """What is explained: columns of the graph's output, on a scale, reached through a link.

    ``mixture`` [outputs, raw scores] puts each explained output together of the model's scores.
    ``calibration`` is slope and intercept of the scaling by which the graph calibrates the
    probability behind the link; None where it answers that probability itself.
    """

    scale: str
    link: str
    columns: tuple[int, ...]
    mixture: Floats
    calibration: tuple[float, float] | None = None

    def position(self, column: int) -> int:
        """Where an output column stands among the explained ones.

        Raises ExplanationError for a column that is none of them.
        """
        if column not in self.columns:
            raise ExplanationError("output", "the model never saw this class in training")
        return self.columns.index(column)

    def answer(self, predictions: Floats) -> Floats:
        """What the graph should say in ``columns`` for these predictions on the scale."""
        linked = self._linked(predictions)
        if self.calibration is None:
            return linked
        near = np.clip(linked, CALIBRATED_FROM, 1 - CALIBRATED_FROM)
        slope, intercept = self.calibration
        return np.asarray(1 / (1 + np.exp(-(slope * np.log(near / (1 - near)) + intercept))))

    def _linked(self, predictions: Floats) -> Floats:
        if self.link == "logistic":
            # Both halves keep their digits near 0 and 1.
            return np.asarray(1 / (1 + np.exp(-np.clip(predictions, -700, 700))))
        if self.link == "softmax":
            powers = np.exp(predictions - predictions.max())
            return np.asarray(powers / powers.sum())
        return predictions


class Explainer(Protocol):
    """Takes a prediction apart; one object per model, without state."""

    method: str
    outputs: Outputs
    n_features: int

    def predict(self, row: NDArray[np.float32]) -> Floats:
        """The model's prediction of each explained output, on the scale."""

    def attribute(self, row: NDArray[np.float32], position: int) -> Attribution:
        """Base value and contributions of one explained output, on the scale."""


def read_outputs(arrays: Arrays) -> Outputs:
    """The outputs that a file describes; ExplanationError when they contradict each other."""
    scale, link = str(arrays["scale"]), str(arrays["link"])
    columns, mixture = arrays["outputs"], arrays["mixture"]
    expect(scale in SCALES and link in LINKS, "scale and link")
    expect(columns.ndim == 1 and columns.dtype.kind == "i" and len(columns) > 0, "outputs")
    expect(mixture.ndim == 2 and len(mixture) == len(columns), "mixture")
    expect_finite(mixture, "mixture")
    return Outputs(scale, link, tuple(columns.tolist()), mixture, _calibration(arrays))


def _calibration(arrays: Arrays) -> tuple[float, float] | None:
    if "calibration" not in arrays:
        return None
    numbers = arrays["calibration"]
    expect(numbers.shape == (2,) and str(arrays["scale"]) != "value", "calibration")
    expect_finite(numbers, "calibration")
    return float(numbers[0]), float(numbers[1])


def expect(is_true: bool, what: str) -> None:
    """Raise ExplanationError unless a part of the file is as its format says."""
    if not is_true:
        raise ExplanationError("damaged", f"the explanation file's {what} is not as expected")


def expect_finite(numbers: NDArray[Any], what: str) -> None:
    """Raise ExplanationError unless an array holds finite float64 numbers."""
    expect(numbers.dtype == np.float64 and bool(np.isfinite(numbers).all()), what)
