"""Each kind of model fits what a problem may hold, repeats itself, and says why it cannot."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from learning.estimators import make_estimator, snap_thresholds
from learning.models import GRIDS, TrainingError, fit, recency_weights
from learning.problem import Feature
from learning.rows import Rows, Schema

FEATURES = (
    Feature(name="a"),
    Feature(name="b"),
    Feature(name="c", kind="categorical", categories=("x", "y")),
    Feature(name="empty", kind="categorical"),
)
CLASSES = {"binary": ("no", "yes"), "multiclass": ("u", "v", "w"), "regression": ()}
TASKS = list(CLASSES)


def schema_of(task: Any) -> Schema:
    return Schema("y", task, FEATURES, CLASSES[task])


def rows_of(task: str, n: int = 300, seed: int = 0) -> Rows:
    """Rows whose label depends on ``a`` and ``c``; a tenth of the numbers is missing."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n, 2))
    codes = rng.integers(-1, 2, n)
    score = numbers[:, 0] + 0.5 * codes + 0.2 * rng.normal(size=n)
    numbers[rng.random((n, 2)) < 0.1] = np.nan
    x = np.column_stack([numbers, codes, np.full(n, -1)]).astype(np.float32)
    cuts = {"binary": [0], "multiclass": [-0.5, 0.5]}.get(task)
    y = score if cuts is None else np.digitize(score, cuts).astype(float)
    return Rows(x, y, np.arange(n).astype("datetime64[us]"))


def test_no_rows_cannot_train_a_model() -> None:
    with pytest.raises(TrainingError, match="there are no labelled rows to train on"):
        fit("linear", GRIDS["linear"][0], rows_of("binary").part(slice(0, 0)), schema_of("binary"))


@pytest.mark.parametrize("kind", GRIDS)
def test_one_class_cannot_train_a_model_and_the_class_is_named(kind: str) -> None:
    rows = rows_of("binary")
    ones = rows.part(rows.y == 1)

    with pytest.raises(TrainingError, match=rf"all {len(ones)} training rows have the label 'yes'"):
        fit(kind, GRIDS[kind][0], ones, schema_of("binary"))


@pytest.mark.parametrize("kind", GRIDS)
def test_rows_that_the_library_refuses_are_told_with_its_words(kind: str) -> None:
    rows = rows_of("regression")
    rows.y[3] = np.inf

    with pytest.raises(TrainingError, match=f"{kind} cannot be fitted on 300 rows: .*infinity"):
        fit(kind, GRIDS[kind][0], rows, schema_of("regression"))


def test_a_line_that_does_not_converge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Ridge.fit

    def overflow(self: Ridge, *given: Any, **more: Any) -> Ridge:
        real(self, *given, **more)
        self.coef_ = self.coef_ * np.nan
        return self

    monkeypatch.setattr(Ridge, "fit", overflow)

    with pytest.raises(TrainingError, match="linear cannot be fitted on 300 rows"):
        fit("linear", GRIDS["linear"][0], rows_of("regression"), schema_of("regression"))


@pytest.mark.parametrize("task", TASKS)
def test_boosting_with_weights_is_what_it_is_without_them_but_for_its_bins(task: str) -> None:
    rows, schema = rows_of(task, 200), schema_of(task)
    # Fewer than 256 values a feature: each is a bin, whoever weighs them.
    faded = {**GRIDS["boosting"][1], "half_life": 0.5}
    library = (
        HistGradientBoostingRegressor if task == "regression" else (HistGradientBoostingClassifier)
    )
    theirs = library(random_state=0, early_stopping=False, **GRIDS["boosting"][1])
    target = rows.y if task == "regression" else rows.y.astype(int)
    theirs.fit(rows.x, target, sample_weight=recency_weights(200, 0.5))
    said = theirs.predict if task == "regression" else theirs.predict_proba

    ours = fit("boosting", faded, rows, schema)

    assert ours.output(rows.x) == pytest.approx(said(rows.x).reshape(200, -1))
    assert "_bin_data" not in vars(ours.pipeline)  # nothing of ours stays in what is kept


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"'svm'; expected one of \['boosting', 'forest', 'lightgbm', 'linear'"
    ):
        fit("svm", {}, rows_of("binary"), schema_of("binary"))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("kind", "place"), [(k, p) for k in GRIDS for p in range(len(GRIDS[k]))])
def test_every_kind_and_setting_learns_every_task(kind: str, place: int, task: str) -> None:
    rows, newer = rows_of(task), rows_of(task, seed=1)

    fitted = fit(kind, GRIDS[kind][place], rows, schema_of(task))
    output = fitted.output(newer.x)

    assert output.shape == (300, len(CLASSES[task]) or 1)
    assert np.isfinite(output).all()
    if task == "regression":
        assert np.corrcoef(output[:, 0], newer.y)[0, 1] > 0.8
    else:
        assert output.sum(axis=1) == pytest.approx(1)
        assert (output.argmax(axis=1) == newer.y).mean() > 0.7


@pytest.mark.parametrize("kind", [*GRIDS, "dummy"])
def test_a_class_without_training_rows_has_the_probability_zero(kind: str) -> None:
    rows = rows_of("multiclass")
    two = rows.part(rows.y != 1)

    fitted = fit(kind, GRIDS.get(kind, ({},))[0], two, schema_of("multiclass"))

    assert fitted.classes == (0, 2)
    output = fitted.output(rows.x)
    assert (output[:, 1] == 0).all()
    assert output.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["forest", "boosting", "lightgbm"])
def test_the_same_seed_gives_the_same_model(kind: str) -> None:
    rows = rows_of("binary")
    outputs = [
        fit(kind, GRIDS[kind][0], rows, schema_of("binary"), seed).output(rows.x)
        for seed in (1, 1, 2)
    ]

    np.testing.assert_array_equal(outputs[0], outputs[1])
    if kind == "forest":
        assert (outputs[0] != outputs[2]).any()


def test_lightgbm_takes_the_threads_it_may_and_is_the_same_with_any_number() -> None:
    rows, texts = rows_of("binary", 3_000), set()
    for most in (1, 2):
        made = make_estimator("lightgbm", GRIDS["lightgbm"][0], schema_of("binary"), 0)
        with threadpool_limits(most):
            made.fit(rows.x, rows.y.astype(int))
        texts.add(made.booster_.model_to_string())

    assert len(texts) == 1
    assert made.get_params()["n_jobs"] == 0  # as many as the pool has


@pytest.mark.parametrize("kind", GRIDS)
def test_columns_that_are_empty_or_constant_do_no_harm(kind: str) -> None:
    rows = rows_of("binary")
    x = rows.x.copy()
    x[:, 1] = np.nan
    x[:, 2] = -1

    fitted = fit(kind, GRIDS[kind][0], Rows(x, rows.y, rows.times), schema_of("binary"))

    output = fitted.output(x)
    np.testing.assert_allclose(fitted.output(rows.x)[:, 1].mean(), output[:, 1].mean(), atol=0.1)
    assert ((output[:, 1] > 0.5) == rows.y).mean() > 0.7


def test_a_column_that_was_empty_in_training_changes_no_answer_of_boosting() -> None:
    rows = rows_of("binary")
    x = rows.x.copy()
    x[:, 1] = np.nan

    fitted = fit("boosting", GRIDS["boosting"][0], Rows(x, rows.y, rows.times), schema_of("binary"))

    np.testing.assert_array_equal(fitted.output(rows.x), fitted.output(x))
    assert np.isnan(x[:, 1]).all()


def test_recency_halves_a_weight_every_half_life_and_keeps_the_mean() -> None:
    weights = recency_weights(1_000, 0.2)

    assert weights.mean() == pytest.approx(1)
    assert weights[999] / weights[799] == pytest.approx(2)
    few = recency_weights(300, 0.2)  # never faster than half every hundred rows
    assert few[299] / few[199] == pytest.approx(2)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", GRIDS)
def test_older_rows_count_less_with_a_half_life(kind: str, task: str) -> None:
    rows = rows_of(task, n=600)
    x = rows.x.copy()
    x[:400, 0] *= -1  # what a says turned round

    turned = Rows(x, rows.y, rows.times)
    even, fading = (
        fit(kind, {**GRIDS[kind][0], **more}, turned, schema_of(task)).output(rows.x[400:])
        for more in ({}, {"half_life": 0.05})
    )

    def error(output: Any) -> float:
        y = rows.y[400:]
        if task == "regression":
            return float(np.abs(output[:, 0] - y).mean())
        return float((output.argmax(axis=1) != y).mean())

    assert error(fading) <= error(even)
    assert not np.array_equal(even, fading)


@pytest.mark.parametrize("kind", GRIDS)
def test_weight_on_a_rare_class_makes_it_likelier(kind: str) -> None:
    rows = rows_of("binary", n=600)
    rare = rows.part((rows.y == 0) | (np.arange(600) % 8 == 0))
    even, weighed = (
        fit(kind, {**GRIDS[kind][0], **more}, rare, schema_of("binary")).output(rare.x)[:, 1]
        for more in ({}, {"class_weight": "balanced"})
    )

    assert weighed.mean() > even.mean()


def test_the_dummy_answers_the_median_or_the_shares_of_the_classes() -> None:
    regression, binary = rows_of("regression"), rows_of("binary")

    median = fit("dummy", {}, regression, schema_of("regression")).output(regression.x)
    shares = fit("dummy", {}, binary, schema_of("binary")).output(binary.x)

    assert median[:, 0] == pytest.approx(np.median(regression.y))
    assert shares[:, 1] == pytest.approx(binary.y.mean())


def test_a_dummy_may_know_one_class_only() -> None:
    rows = rows_of("binary")
    ones = rows.part(rows.y == 1)

    output = fit("dummy", {}, ones, schema_of("binary")).output(ones.x)

    assert (output == [0, 1]).all()


def test_a_line_is_not_followed_beyond_what_was_seen() -> None:
    rows = rows_of("regression")
    fitted = fit("linear", GRIDS["linear"][0], rows, schema_of("regression"))
    far = np.nan_to_num(rows.x[:1])
    far[0, 0] = np.nanmax(rows.x[:, 0])
    at_the_end = fitted.output(far)
    far[0, 0] = 1e9

    np.testing.assert_allclose(fitted.output(far), at_the_end)


def _thresholds(model: Any) -> list[tuple[int, float]]:
    return [
        (int(node["feature_idx"]), float(node["num_threshold"]))
        for trees in model._predictors
        for tree in trees
        for node in tree.nodes
        if not node["is_leaf"]
    ]


@pytest.mark.parametrize("task", TASKS)
def test_snapping_thresholds_to_float32_changes_no_prediction(task: str) -> None:
    rows = rows_of(task, n=400)
    is_regression = task == "regression"
    kind = HistGradientBoostingRegressor if is_regression else HistGradientBoostingClassifier
    jitter = np.random.default_rng(1).normal(0, 1e-3, rows.x.shape)  # float64: thresholds between
    model = kind(max_iter=10, early_stopping=False).fit(rows.x + jitter, rows.y)
    exact = _thresholds(model)
    x = np.vstack([rows.x] * 4)
    rng = np.random.default_rng(0)
    for feature, threshold in exact:  # values on, just above and just below each threshold
        near = np.float32(threshold)
        values = [near, np.nextafter(near, np.float32(9)), np.nextafter(near, np.float32(-9))]
        x[rng.integers(0, len(x), 3), feature] = values
    answer = model.predict if is_regression else model.predict_proba
    before = answer(x)

    snap_thresholds(model)

    np.testing.assert_array_equal(answer(x), before)
    snapped = _thresholds(model)
    assert all(float(np.float32(t)) == t for _, t in snapped)
    assert all(new <= old for (_, new), (_, old) in zip(snapped, exact, strict=True))
    assert snapped != exact
