"""The search scores on newer blocks only, keeps its budget, repeats itself and survives gaps."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import learning.models
import learning.search
from learning.models import Fitted, TrainingError, fit
from learning.problem import Feature, SearchRules
from learning.rows import Rows, Schema
from learning.search import (
    Candidate,
    Contestants,
    SearchResult,
    candidates,
    finalists,
    neighbours,
    search,
    thin,
    warm_start,
)

FEATURES = (Feature(name="a"), Feature(name="b"))
BINARY = Schema("y", "binary", FEATURES, ("no", "yes"))
MULTICLASS = Schema("y", "multiclass", FEATURES, ("u", "v", "w"))
VALUE = Schema("y", "regression", FEATURES)
QUICK = SearchRules(models=("linear",), windows=("all", "recent"), budget_seconds=60)


def rows_of(y: Any, seed: int = 0) -> Rows:
    """Rows with this target, which ``a`` follows with noise; a row's time is its place."""
    y = np.asarray(y, dtype=float)
    rng = np.random.default_rng(seed)
    x = np.column_stack([y + rng.normal(size=len(y)), rng.normal(size=len(y))])
    return Rows(x.astype(np.float32), y, np.arange(len(y)).astype("datetime64[us]"))


def coin(n: int, seed: int = 0) -> Rows:
    return rows_of(np.random.default_rng(seed).integers(0, 2, n))


def find(
    rows: Rows, schema: Schema = BINARY, metric: str = "roc_auc", **changes: Any
) -> SearchResult:
    rules = changes.pop("rules", QUICK)
    elapsed = changes.pop("elapsed", lambda: 0.0)
    first = changes.pop("first", None)
    contest = Contestants(rows, schema, rules, metric, 100, first=first)
    return search(contest, elapsed, **changes)


def test_candidates_are_each_kind_on_each_window_that_differs() -> None:
    rules = SearchRules(models=("linear", "forest"), windows=("all", "recent", "newest"))

    many = [(candidate.kind, candidate.window) for candidate in candidates(rules, coin(5_000))]
    few = [(candidate.kind, candidate.window) for candidate in candidates(rules, coin(150))]

    assert many == list(itertools.product(("linear", "forest"), ("all", "recent", "newest")))
    assert few == [("linear", "all"), ("forest", "all")]


def test_the_champion_of_before_is_tried_first_without_its_calibration() -> None:
    rules = SearchRules(models=("linear", "forest"), windows=("all", "fading"))
    was = {"strength": 0.03, "half_life": 0.2, "calibration_slope": 0.5}

    first = warm_start("linear", was, "fading", rules)

    assert first == Candidate("linear", {"strength": 0.03, "half_life": 0.2}, "fading")
    assert candidates(rules, coin(5_000), first=first)[0] == first
    assert len(candidates(rules, coin(5_000), first=first)) == 5
    again = find(coin(600), rules=rules, first=first).trials
    assert again[0].candidate == first
    assert warm_start("boosting", {}, "all", rules) is None
    assert warm_start("linear", was, "recent", rules) is None


def test_settings_of_the_champion_and_a_rare_class_are_tried_in_the_last_round() -> None:
    first = Candidate("linear", {"strength": 9.0}, "all")
    best = Candidate("linear", {"strength": 1.0, "half_life": 0.2}, "fading")

    found = neighbours(best, 500, first, has_rare_class=True)
    tried = [candidate.parameters for candidate in found]

    assert tried == [
        {"strength": 1.0, "half_life": 0.2},
        {"strength": 0.03, "half_life": 0.2},
        {"strength": 9.0, "half_life": 0.2},
        {"strength": 1.0, "half_life": 0.2, "class_weight": "balanced"},
    ]


def test_a_class_under_a_fifth_is_rare() -> None:
    y = np.zeros(1_000)
    y[::6] = 1

    with_rare = find(rows_of(y)).trials
    without = find(coin(1_000)).trials

    assert {"class_weight"} <= {name for t in with_rare for name in t.candidate.parameters}
    assert not any("class_weight" in t.candidate.parameters for t in without)


def test_on_a_slow_change_the_fading_window_wins() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(3_000, 2)).astype(np.float32)
    angle = np.linspace(0, np.pi, 3_000)  # what decides turns from one feature to its opposite
    y = np.cos(angle) * x[:, 0] + np.sin(angle) * x[:, 1] + 0.1 * rng.normal(size=3_000)
    rows = Rows(x, y, np.arange(3_000).astype("datetime64[us]"))
    rules = SearchRules(models=("linear",), windows=("all", "fading"))

    assert find(rows, VALUE, "mae", rules=rules).best.window == "fading"


def test_boosting_stands_in_for_a_lightgbm_that_cannot_be_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = SearchRules(models=("linear", "lightgbm"), windows=("all",))
    both = SearchRules(models=("lightgbm", "boosting"), windows=("all",))
    assert [c.kind for c in candidates(rules, coin(1_000))] == ["linear", "lightgbm"]
    assert warm_start("boosting", {}, "all", rules) is None

    monkeypatch.setattr(learning.models, "is_lightgbm_installed", lambda: False)

    assert [c.kind for c in candidates(rules, coin(1_000))] == ["linear", "boosting"]
    assert [c.kind for c in candidates(both, coin(1_000))] == ["boosting"]
    assert warm_start("boosting", {}, "all", rules) == Candidate("boosting", {}, "all")
    assert warm_start("lightgbm", {}, "all", rules) is None
    with pytest.raises(TrainingError, match="needs libgomp1"):
        fit("lightgbm", {}, coin(100), BINARY)


def test_the_winner_stands_first_among_its_settings() -> None:
    first = candidates(SearchRules(models=("boosting",)), coin(5_000))[0]

    tried = neighbours(first, 10_000)

    assert tried[0] == first
    assert len({candidate.name for candidate in tried}) == 3
    assert [one.parameters["max_iter"] for one in neighbours(first, 9_999)] == [100, 120]
    assert first.name == "boosting(max_iter=100, learning_rate=0.1, max_leaf_nodes=31) on all"


@pytest.mark.parametrize(("n_rows", "most"), [(0, 5), (5, 5), (6, 5), (1_000, 7), (10, 1)])
def test_thinned_rows_are_spread_in_order_and_end_with_the_newest(n_rows: int, most: int) -> None:
    places = thin(coin(n_rows), most).times.astype(int)

    assert len(places) == min(n_rows, most)
    assert (np.diff(places) > 0).all()
    if n_rows and most > 1:
        assert (places[0], places[-1]) == (0, n_rows - 1)


class Witness:
    """Stands for `fit`; keeps the newest row of each fit and the oldest of the block it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[int, int]] = []
        monkeypatch.setattr(learning.search, "fit", self)

    def __call__(self, kind: str, parameters: Any, rows: Rows, *rest: Any, **more: Any) -> Any:
        newest = int(rows.times[-1].astype(int))
        fitted = fit(kind, parameters, rows, *rest, **more)
        return _WitnessedFit(fitted, newest, self.seen)


class _WitnessedFit:
    def __init__(self, fitted: Fitted, newest: int, seen: list[tuple[int, int]]) -> None:
        self.fitted, self.newest, self.seen = fitted, newest, seen

    def output(self, x: np.ndarray) -> np.ndarray:
        self.seen.append((self.newest, int(x[:, 1].min())))
        return self.fitted.output(x)


def test_no_candidate_sees_rows_as_new_as_the_block_it_is_scored_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = coin(1_000)
    rows.x[:, 1] = np.arange(1_000)  # a block's rows tell their place
    witness = Witness(monkeypatch)

    find(rows)

    assert all(newest < oldest for newest, oldest in witness.seen)
    assert {oldest for _, oldest in witness.seen} == {900, 800, 700}
    assert {newest for newest, _ in witness.seen} == {899, 799, 699}


def test_the_same_rows_and_seed_find_the_same() -> None:
    rules = SearchRules(models=("linear", "forest"), windows=("all",), seed=3)

    first, second = find(coin(400), rules=rules), find(coin(400), rules=rules)

    assert first == second
    assert [trial.round for trial in first.trials] == [0, 0, 1, 1, 2, 2]


def test_a_trial_tells_how_many_rows_its_largest_fit_was_given() -> None:
    result = find(coin(3_000))

    rows = {(trial.round, trial.candidate.window): trial.n_rows for trial in result.trials}
    assert rows[0, "all"] == 2_000  # thinned
    assert rows[0, "recent"] == 600  # 870 of 2,900 before the newest block, thinned as much
    assert max(rows[2, window] for window in ("all", "recent") if (2, window) in rows) in (
        2_900,
        870,
    )


def test_a_champion_that_is_fitted_again_competes_with_its_windows_and_what_is_cheap() -> None:
    rules = SearchRules(models=("linear", "forest"), windows=("all", "recent"))
    was = Candidate("forest", {"min_samples_leaf": 10}, "all")
    contest = Contestants(coin(1_000), BINARY, rules, "roc_auc", 100, first=was, is_refit=True)

    found = search(contest, lambda: 0.0)

    tried = [(t.candidate.kind, t.candidate.window, t.round) for t in found.trials]
    assert tried == [
        ("forest", "all", 0), ("forest", "recent", 0), ("linear", "all", 0), ("linear", "recent", 0)
    ]  # fmt: skip
    assert found.trials[1].candidate.parameters == {"min_samples_leaf": 10}


def test_the_second_round_keeps_another_kind_in_and_the_best_of_the_rest() -> None:
    ranking = [Candidate("forest", {}, w) for w in ("all", "recent", "fading")]
    ranking.append(Candidate("linear", {}, "all"))

    assert finalists(ranking) == [ranking[0], ranking[3], ranking[1]]
    assert finalists(ranking[:1]) == ranking[:1]
    assert finalists(ranking[:3]) == ranking[:3]


def test_nothing_is_fitted_twice_for_the_same_question(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, str]] = []

    def count(kind: str, parameters: Any, rows: Rows, *rest: Any, **more: Any) -> Fitted:
        asked.append((str(parameters), len(rows), str(rows.times[0])))
        return fit(kind, parameters, rows, *rest, **more)

    monkeypatch.setattr(learning.search, "fit", count)

    found = find(coin(900))

    assert len(asked) == len(set(asked))
    assert sum(trial.round == 2 for trial in found.trials) == 2


def test_trials_are_told_as_they_end() -> None:
    told: list[Any] = []

    result = find(coin(600), on_trial=told.append)

    assert tuple(told) == result.trials


def test_after_the_budget_no_trial_starts_and_the_first_one_wins() -> None:
    result = find(coin(1_000), elapsed=lambda: 61.0)

    assert len(result.trials) == 1
    assert result.best == result.trials[0].candidate


@pytest.mark.parametrize("n_trials", range(1, 7))
def test_whenever_the_budget_ends_the_best_of_the_last_round_with_a_score_wins(
    n_trials: int,
) -> None:
    clock = iter([0.0] * (n_trials - 1) + [61.0] * 9)

    result = find(coin(1_000), elapsed=lambda: next(clock))

    assert len(result.trials) == min(n_trials, 6)
    last = [t for t in result.trials if t.round == result.trials[-1].round]
    assert result.best == max(last, key=lambda trial: trial.score).candidate


def test_of_an_error_the_smallest_wins() -> None:
    rng = np.random.default_rng(1)
    rows = rows_of(rng.normal(size=600))
    rules = SearchRules(models=("linear", "forest"), windows=("all",))

    result = find(rows, VALUE, "mae", rules=rules)

    last = [trial for trial in result.trials if trial.round == 2]
    assert result.best == min(last, key=lambda trial: trial.score).candidate
    assert result.best.kind == "linear"  # the target is a straight line through ``a``


def test_after_a_sudden_change_the_recent_window_wins() -> None:
    rows = coin(1_500)
    rows.x[:1_000, 0] *= -1

    assert find(rows).best.window == "recent"


def test_blocks_in_which_a_class_is_missing_are_scored_where_that_is_possible() -> None:
    y = np.random.default_rng(2).integers(0, 3, 600)
    y[500:] = np.where(y[500:] == 2, 0, y[500:])  # the newest block lacks w
    y[:500] = np.where(y[:500] == 1, 0, y[:500])  # the rows before it lack v

    for metric in ("accuracy", "log_loss", "f1"):
        result = find(rows_of(y), MULTICLASS, metric)
        assert all(np.isfinite(trial.score) for trial in result.trials)


def test_a_block_of_one_class_does_not_count() -> None:
    y = coin(1_000).y.copy()
    y[800:900] = 0

    result = find(rows_of(y))

    assert {trial.round for trial in result.trials} == {0, 1, 2}


def test_where_the_newest_block_has_one_class_older_blocks_decide() -> None:
    y = coin(1_000).y.copy()
    y[900:] = 0

    result = find(rows_of(y))

    assert {trial.round for trial in result.trials} == {1, 2}


@pytest.mark.parametrize(
    ("rows", "metric"),
    [
        (rows_of(np.zeros(500)), "roc_auc"),
        (coin(150), "roc_auc"),
        (coin(0), "roc_auc"),
        (coin(500), "mae"),
    ],
)
def test_where_nothing_can_be_scored_there_is_no_winner_but_a_reason(
    rows: Rows, metric: str
) -> None:
    with pytest.raises(TrainingError, match=f"no candidate got a {metric} on {len(rows)} rows"):
        find(rows, metric=metric)


def test_candidates_of_other_settings_are_different_keys_or_equal_in_none() -> None:
    one, two = Candidate("linear", {"strength": 1.0}, "all"), Candidate("linear", {}, "all")

    assert one != two
    assert len({one, two, one}) == 2


def test_after_a_change_rows_since_then_may_train_and_older_blocks_do_not_judge() -> None:
    turned = coin(600)
    turned.x[:400, 0] *= -1  # until row 400 the feature meant the opposite
    since = np.datetime64(400, "us")
    rules = SearchRules(models=("linear",), windows=("all", "changed"), folds=3)

    found = search(Contestants(turned, BINARY, rules, "roc_auc", 60, since), lambda: 0.0)

    assert found.best.window == "changed"
    assert found.trials[0].n_rows == 540
    assert {trial.n_rows for trial in found.trials if trial.candidate.window == "changed"} == {140}
    assert candidates(rules, turned) == candidates(rules, turned, np.datetime64(590, "us"))
