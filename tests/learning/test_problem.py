import re
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from learning.problem import Feature, GateRules, Problem, RetrainPolicy, label_text
from learning.spans import Span


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        ("1", "1"),
        (np.int64(1), "1"),
        (np.float32(1.0), "1"),
        (0.5, "0.5"),
        (" yes ", "yes"),
        (True, "true"),
        (np.True_, "true"),
        (False, "false"),
        (-0.0, "0"),
    ],
)
def test_a_label_has_one_spelling(value: object, text: str) -> None:
    assert label_text(value) == text


def test_only_the_target_has_to_be_given() -> None:
    problem = Problem(target="y")

    assert problem.task == "auto"
    assert problem.sources == ("inbox", "feedback")
    assert problem.label_delay == Span(rows=0)
    with pytest.raises(ValidationError, match="target"):
        Problem.model_validate({})


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    with pytest.raises(ValidationError, match="unknown key 'alhpa'; did you mean 'alpha'"):
        Problem.model_validate({"target": "y", "drift": {"alhpa": 0.01}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Two Words"}, "name: found 'Two Words'"),
        ({"features": [{"name": "a"}, {"name": "a"}]}, "'a' is listed twice"),
        ({"features": [{"name": "y"}]}, "'y' is also the target column"),
        ({"features": [{"name": "t"}], "event_time": "t"}, "'t' is also the event_time column"),
        ({"features": [{"name": "k"}], "key": "k"}, "'k' is also the key column"),
        ({"key": "y"}, "'y' has two roles"),
        ({"drop": ["y"]}, "'y' is the target column"),
        ({"drop": ["a"], "features": [{"name": "a"}]}, "'a' is also listed in features"),
        ({"sources": ["generator"]}, "no generator section"),
        ({"every": "10 rows"}, "found 10 rows; expected a time of 5s to 31d"),
        ({"every": "1s"}, "found 1s; expected a time of 5s to 31d"),
        ({"max_ahead": "10 rows"}, "found 10 rows; expected a time, such as 1d"),
        ({"classes": ["a", "a"]}, "classes: 'a' is listed twice"),
        ({"classes": ["a", "b"], "task": "regression"}, "a regression has none"),
        ({"classes": ["a", "b", "c"], "task": "binary"}, "found 3; a binary task has exactly two"),
        ({"classes": ["a", "b"], "positive_class": "c"}, "found 'c'; expected one of a, b"),
        (
            {"features": [{"name": "f", "kind": "categorical", "categories": [1, "1"]}]},
            "f: category '1' is listed twice",
        ),
    ],
)
def test_a_contradiction_is_refused_with_what_was_found(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Problem.model_validate({"target": "y", **changes})


def test_classes_and_categories_take_the_one_spelling_of_labels() -> None:
    problem = Problem.model_validate(
        {
            "target": "y",
            "classes": [0, 1.0],
            "positive_class": 1,
            "features": [{"name": "f", "kind": "categorical", "categories": [2, "b"]}],
        }
    )

    assert problem.classes == ("0", "1")
    assert problem.positive_class == "1"
    assert problem.features[0].categories == ("2", "b")


def test_volume_and_age_triggers_can_be_switched_off() -> None:
    policy = RetrainPolicy.model_validate({"volume_rows": None, "max_age": None})

    assert policy.volume_rows is None
    assert policy.max_age is None


def test_a_problem_cannot_be_changed_after_it_was_read() -> None:
    problem = Problem(target="y")

    with pytest.raises(ValidationError, match="frozen"):
        problem.target = "z"


def test_every_key_says_what_it_means() -> None:
    for section in (Problem, Feature, GateRules, RetrainPolicy):
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"performance": {"metric": "mae"}},
            "found 'mae'; expected one of roc_auc, pr_auc, accuracy, f1, log",
        ),
        ({"gate": {"floors": {"r2": 0.1}}}, "gate.floors: found 'r2'; expected one of roc_auc"),
        ({"slices": [{"by": "plam"}]}, "slices: found 'plam'; expected the name of a feature"),
        ({"slices": [{"by": "age"}]}, "slices: 'age' is a number; expected edges"),
        ({"slices": [{"by": "plan", "edges": [1]}]}, "slices: 'plan' is a category; it takes no"),
        ({"slices": [{"by": "age", "edges": [3, 3]}]}, "expected rising numbers"),
    ],
)
def test_metrics_and_slices_must_fit_the_task_and_the_features(
    changes: dict[str, object], message: str
) -> None:
    fields = {
        "target": "y",
        "task": "binary",
        "features": [{"name": "age"}, {"name": "plan", "kind": "categorical"}],
    }
    with pytest.raises(ValidationError, match=re.escape(message)):
        Problem.model_validate({**fields, **changes})
    if "edges" not in str(changes):
        assert Problem.model_validate({"target": "y", **changes}).task == "auto"
