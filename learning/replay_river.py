"""Stream learners of river as yardsticks: they learn from each label when it arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from learning.replay_stream import Stream
from learning.rows import Floats

LEARNERS = {"river:arf": "adaptive random forest", "river:hat": "Hoeffding adaptive tree"}


def make_learner(name: str, is_regression: bool, seed: int) -> Any:
    """A learner with river's default settings. Raises ImportError where river is not installed."""
    from river import forest, tree

    makers: dict[tuple[str, bool], Callable[..., Any]] = {
        ("river:arf", False): forest.ARFClassifier,
        ("river:arf", True): forest.ARFRegressor,
        ("river:hat", False): tree.HoeffdingAdaptiveTreeClassifier,
        ("river:hat", True): tree.HoeffdingAdaptiveTreeRegressor,
    }
    return makers[name, is_regression](seed=seed)


def learn_along(stream: Stream, name: str, most_rows: int, seed: int = 0) -> Iterator[Floats]:
    """A learner's outputs, one row [classes or 1] after another, for the first ``most_rows`` rows.

    Each row is predicted before its label, and every label is learnt when it arrives.
    """
    n_classes = len(stream.schema.classes)
    learner = make_learner(name, not n_classes, seed)
    features, y = _as_river_takes_them(stream), stream.rows.y
    learnt = 0
    for position in range(min(most_rows, len(stream))):
        for known in range(learnt, stream.n_known(position)):
            if not np.isnan(y[known]):
                learner.learn_one(features[known], int(y[known]) if n_classes else float(y[known]))
        learnt = max(learnt, stream.n_known(position))
        yield _answer(learner, features[position], n_classes)


def _as_river_takes_them(stream: Stream) -> list[dict[int, Any]]:
    """Rows as dictionaries by the feature's place; what is missing is left out."""
    kinds = [feature.kind == "categorical" for feature in stream.schema.features]
    return [
        {
            place: str(int(value)) if is_category else value
            for place, (value, is_category) in enumerate(zip(row, kinds, strict=True))
            if value == value
        }
        for row in stream.rows.x.tolist()
    ]


def _answer(learner: Any, row: dict[int, Any], n_classes: int) -> Floats:
    if not n_classes:
        return np.array([float(learner.predict_one(row) or 0.0)])
    output = np.zeros(n_classes)
    for label, share in learner.predict_proba_one(row).items():
        output[int(label)] = share
    total = output.sum()
    return output / total if total > 0 else np.full(n_classes, 1 / n_classes)
