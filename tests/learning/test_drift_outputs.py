"""Drift of predictions, labels and errors, and of all features at once."""

import io

import numpy as np
import pytest
from river.drift import ADWIN
from sklearn.metrics import roc_auc_score

from learning.drift import FeatureDrift
from learning.drift_joint import area_with_variance, check_joint
from learning.drift_online import row_errors, watch_errors
from learning.drift_outputs import (
    INPUTS,
    LABEL,
    PREDICTION,
    check_column,
    column_words,
    encode_known_labels,
    encode_predictions,
    keep_references,
    label_feature,
    prediction_feature,
    read_references,
    references_file,
)
from learning.problem import DriftRules, Feature
from learning.rows import Rows, Schema

RULES = DriftRules()
FEATURES = (Feature(name="a"), Feature(name="b", kind="categorical", categories=("x", "y")))


def schema(task: str) -> Schema:
    classes = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "regression": ()}[task]
    return Schema("target", task, FEATURES, classes)  # type: ignore[arg-type]


def rows(n: int, task: str, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(size=n), rng.integers(0, 2, n)]).astype(np.float32)
    y = rng.normal(size=n) if task == "regression" else rng.integers(0, 2, n).astype(float)
    y[::7] = np.nan
    return Rows(x, y, np.arange(n).astype("datetime64[us]"))


def outputs(n: int, task: str, seed: int, moved: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if task == "regression":
        return rng.normal(moved, 1, (n, 1))
    if task == "binary":
        p = np.clip(rng.beta(2, 5, n) + moved / 2, 0, 1)
        return np.column_stack([1 - p, p])
    chosen = rng.choice(3, n, p=[0.6 - moved / 2, 0.3, 0.1 + moved / 2])
    return np.eye(3)[chosen]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_predictions_that_move_are_told_from_those_that_do_not(task: str) -> None:
    training = rows(2_000, task, 1)
    file = references_file(
        keep_references(training, training, outputs(1_500, task, 2), schema(task), RULES)
    )
    kept, feature = read_references(file), prediction_feature(schema(task))

    steady, moved = (
        check_column(
            kept[PREDICTION],
            encode_predictions(outputs(1_000, task, 3, by), schema(task)),
            feature,
            RULES,
        )
        for by in (0.0, 0.7)
    )

    assert not steady.is_drifted
    assert moved.is_drifted
    assert column_words(steady).startswith("steady (")
    assert column_words(moved).startswith("moved (JS" if task == "multiclass" else "moved (KS")
    label = check_column(
        kept[LABEL], encode_known_labels(rows(900, task, 5).y), label_feature(schema(task)), RULES
    )
    assert not label.is_drifted
    assert set(kept) == {INPUTS, PREDICTION, LABEL}


def test_labels_of_another_kind_are_label_drift() -> None:
    training = rows(2_000, "binary", 1)
    kept = keep_references(training, training, outputs(500, "binary", 2), schema("binary"), RULES)

    found = check_column(
        kept[LABEL], np.ones((300, 1), np.float32), label_feature(schema("binary")), RULES
    )

    assert found.is_drifted
    assert found.effect == pytest.approx(0.56, abs=0.05)


def test_a_bundle_without_references_of_outputs_says_so() -> None:
    found = check_column(None, np.zeros((100, 1), np.float32), Feature(name=PREDICTION), RULES)

    assert found == FeatureDrift(
        PREDICTION, "numeric", not_testable="the model's bundle has no reference of it"
    )
    assert column_words(found).startswith("not testable: ")


def test_a_file_that_is_no_such_file_is_refused() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **{"inputs.format": np.array(7)})

    with pytest.raises(ValueError, match="found reference format 7"):
        read_references(buffer.getvalue())
    for content in (b"", b"no file", buffer.getvalue()[:100]):
        with pytest.raises(ValueError, match=r"cannot be read|pickled"):
            read_references(content)


def test_errors_of_answers_are_half_the_brier_score_or_a_share_of_the_largest() -> None:
    output = np.array([[0.2, 0.8], [1.0, 0.0]])
    assert row_errors("binary", np.array([1.0, 1.0]), output) == pytest.approx([0.04, 1.0])

    errors = row_errors("regression", np.zeros(200), np.arange(200.0)[:, None])
    assert (errors[0], errors[-1]) == (0, 1)
    assert errors[99] == pytest.approx(99 / np.quantile(np.arange(200), 0.99))
    assert row_errors("regression", np.zeros(3), np.zeros((3, 1))).tolist() == [0, 0, 0]


def test_a_rise_of_the_error_is_concept_drift_and_is_placed() -> None:
    rng = np.random.default_rng(0)
    errors = (rng.random(3_000) < np.where(np.arange(3_000) < 1_800, 0.1, 0.4)).astype(float)

    found = watch_errors(errors)

    assert found.is_drifted
    assert found.changed_at == pytest.approx(1_800, abs=250)
    assert (found.before, found.after) == pytest.approx((0.1, 0.4), abs=0.04)
    assert "rose from 0." in found.reason
    fallen = watch_errors(errors[::-1].copy())
    assert not fallen.is_drifted
    assert "fell from" in fallen.reason


def test_steady_and_few_errors_are_none() -> None:
    rng = np.random.default_rng(1)
    steady = [watch_errors((rng.random(2_000) < 0.2).astype(float)) for _ in range(40)]

    assert sum(found.is_drifted for found in steady) <= 1
    assert watch_errors(np.zeros(99)).reason == "not testable: 99 labels are fewer than 100"
    assert ADWIN().delta == 0.002  # what watch_errors takes, too


def test_a_correlation_that_turned_is_seen_by_the_classifier_alone() -> None:
    rng = np.random.default_rng(2)
    features = [Feature(name=f"n{i}") for i in range(8)]
    reference, current = (rng.normal(size=(n, 8)).astype(np.float32) for n in (3_000, 1_000))
    reference[:, 1] = 0.9 * reference[:, 0] + 0.44 * reference[:, 1]
    current[:, 1] = -0.9 * current[:, 0] + 0.44 * current[:, 1]
    reference[::50, 5] = np.nan

    found = check_joint(reference, current, features)

    assert found.is_drifted
    assert found.low is not None
    assert found.low > 0.6
    assert {name for name, _ in found.given_away_by[:2]} == {"n0", "n1"}
    assert "n0" in found.reason


def test_the_classifier_finds_nothing_where_nothing_moved() -> None:
    rng = np.random.default_rng(3)
    features = [Feature(name=f"n{i}") for i in range(5)]

    found = check_joint(
        *(rng.normal(size=(n, 5)).astype(np.float32) for n in (2_000, 600)), features
    )
    few = check_joint(np.zeros((99, 5), np.float32), np.zeros((200, 5), np.float32), features)

    assert not found.is_drifted
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high
    assert found.given_away_by == ()
    assert (few.auc, few.reason) == (None, "not testable: 99 rows are fewer than 100")


def test_the_area_is_that_of_sklearn_and_its_variance_that_of_a_bootstrap() -> None:
    rng = np.random.default_rng(4)
    y = rng.integers(0, 2, 400)
    score = (rng.normal(size=400) + y).round(1)

    area, variance = area_with_variance(y, score)

    assert area == pytest.approx(roc_auc_score(y, score))
    drawn = [rng.integers(0, 400, 400) for _ in range(300)]
    boot = np.var([roc_auc_score(y[i], score[i]) for i in drawn])
    assert variance == pytest.approx(boot, rel=0.3)
