"""LightGBM, where it is installed: its estimator, its trees as numbers, its converter to ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.rows import Floats

# Bits of a split's decision_type, as LightGBM writes them: missing values go left; NaN is missing.
MISSING_LEFT, MISSING_NAN, MISSING_MASK = 2, 8, 12
# Values no larger than this are read as zero.
ZERO = np.float32(1e-35)


@dataclass(frozen=True)
class BoosterTree:
    """One tree as LightGBM stores it: a child below zero is the leaf ``~child``."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: Floats
    is_missing_left: NDArray[np.bool_]
    count: Floats
    leaf_value: Floats
    leaf_count: Floats


def is_lightgbm_installed() -> bool:
    """Whether LightGBM, its own libraries and its converter can be loaded."""
    return why_no_lightgbm() is None


@cache
def why_no_lightgbm() -> str | None:
    """What the first of them that cannot be loaded says; None where all can."""
    try:
        import lightgbm  # noqa: F401
        import onnxmltools  # noqa: F401
    except (ImportError, OSError) as error:
        return str(error)
    return None


def lightgbm_estimator(parameters: Mapping[str, Any], is_regression: bool, seed: int) -> Any:
    """An estimator that is not fitted yet and repeats itself with the same seed.

    It takes as many threads as it may, like those of scikit-learn, and grows the same trees with
    any number of them.
    """
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMRegressor if is_regression else LGBMClassifier
    return kind(
        random_state=seed, deterministic=True, force_row_wise=True, n_jobs=0, verbose=-1,
        **parameters,
    )  # fmt: skip


def settle_lightgbm(model: Any) -> None:
    """Make a fitted model mean the same in float64 here and in float32 in a graph.

    Each threshold moves down to the nearest float32, or to an end of what is read as zero, and a
    split that saw no gap in training, which reads NaN as zero, sends NaN where zero goes. No answer
    to float32 rows changes.
    """
    from lightgbm import Booster

    lines = []
    for line in model.booster_.model_to_string().split("\n"):
        name, _, values = line.partition("=")
        if name == "threshold":
            thresholds = _floored(_numbers(values))
            line = "threshold=" + " ".join(repr(float(value)) for value in thresholds)
        elif name == "decision_type":
            line = f"decision_type={_decisions(values, thresholds)}"
        if name != "tree_sizes":  # they were the sizes of the text before
            lines.append(line)
    model._Booster = Booster(model_str="\n".join(lines))


def _decisions(values: str, thresholds: Floats) -> str:
    found = []
    for kind, threshold in zip((int(v) for v in values.split()), thresholds, strict=True):
        if kind & MISSING_MASK != MISSING_NAN:
            kind = MISSING_NAN | (MISSING_LEFT if threshold >= 0 else 0)
        found.append(str(kind))
    return " ".join(found)


def _floored(exact: Floats) -> Floats:
    with np.errstate(over="ignore"):
        near = exact.astype(np.float32)
    above = near.astype(np.float64) > exact
    near[above] = np.nextafter(near[above], np.float32(-np.inf))
    near[(exact < 0) & (exact >= -ZERO)] = np.nextafter(-ZERO, np.float32(-np.inf))
    near[(exact >= 0) & (exact < ZERO)] = ZERO
    return near.astype(np.float64)


def _numbers(values: str) -> Floats:
    return np.array([float(value) for value in values.split()], dtype=np.float64)


def booster_trees(model: Any) -> list[list[BoosterTree]]:
    """The trees of a fitted model, by the raw score that they add to."""
    booster = model.booster_
    trees = list(_read_trees(booster.model_to_string()))
    n_raw = booster.num_model_per_iteration()
    return [trees[raw::n_raw] for raw in range(n_raw)]


def _read_trees(text: str) -> Iterator[BoosterTree]:
    for part in text.split("\nTree=")[1:]:
        fields = dict(line.partition("=")[::2] for line in part.split("\n") if "=" in line)
        found = {name: _numbers(fields.get(name, "")) for name in _FIELDS}
        values = found["leaf_value"]
        # A tree without a split does not say how many rows its leaf has.
        leaf_count = found["leaf_count"] if len(values) > 1 else np.ones(1)
        decisions = found["decision_type"].astype(np.int64)
        yield BoosterTree(
            found["left_child"].astype(np.int64),
            found["right_child"].astype(np.int64),
            found["split_feature"].astype(np.int64),
            found["threshold"],
            (decisions & MISSING_LEFT) > 0,
            found["internal_count"],
            values,
            leaf_count,
        )


_FIELDS = (
    "left_child", "right_child", "split_feature", "threshold", "decision_type", "internal_count",
    "leaf_value", "leaf_count",
)  # fmt: skip


@cache
def register_converter() -> None:
    """Tell skl2onnx how a LightGBM model is converted."""
    from lightgbm import LGBMClassifier, LGBMRegressor
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports what its libraries deprecate
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    update_registered_converter(
        LGBMClassifier, "LightGbmLGBMClassifier", calculate_linear_classifier_output_shapes,
        convert_lightgbm, options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )  # fmt: skip
    update_registered_converter(
        LGBMRegressor, "LgbmRegressor", calculate_linear_regressor_output_shapes,
        convert_lightgbm, options={"split": None},
    )  # fmt: skip
