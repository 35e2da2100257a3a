"""What a first batch tells of the schema, where the problem file leaves it open."""

from __future__ import annotations

from typing import Any

import pandas as pd

from learning.inference import InferenceError, infer_problem
from learning.inference_columns import categories_of
from learning.performance_rules import refuse_foreign_metrics, refuse_foreign_slices
from learning.problem import Problem
from learning.rows import Schema
from storage.schemas import schema_of


def infer_schema(problem: Problem, frame: pd.DataFrame) -> Schema:
    """The problem's schema with what its file leaves open inferred from a first batch.

    Raises InferenceError when the batch does not have what the file says, or when the file names
    metrics or slices that the task and the features turn out not to have.
    """
    schema = schema_of(_completed(problem, frame))
    try:
        refuse_foreign_metrics(schema.task, problem.performance.metric, problem.gate.floors)
        refuse_foreign_slices(problem.slices, schema.features)
    except ValueError as error:
        raise InferenceError(f"{problem.name}.yaml: {error}") from error
    return schema


def _completed(problem: Problem, frame: pd.DataFrame) -> Problem:
    inferred = infer_problem(
        frame,
        problem.target,
        name=problem.name,
        event_time=problem.event_time,
        key=problem.key,
        drop=problem.drop,
    ).problem
    task = inferred.task if problem.task == "auto" else problem.task
    changes: dict[str, Any] = {"task": task, "features": problem.features or inferred.features}
    changes["positive_class"] = problem.positive_class or inferred.positive_class
    classes = problem.classes or inferred.classes
    if task == "regression":
        classes = ()
    elif not classes:  # the file calls classes what looks like amounts
        classes = tuple(categories_of(frame[problem.target]))
    if task == "binary" and len(classes) != 2:
        raise InferenceError(
            f"target {problem.target!r}: found {len(classes)} classes; expected 2 for task binary"
        )
    if task == "binary" and changes["positive_class"] not in classes:
        changes["positive_class"] = None
        if problem.positive_class:
            raise InferenceError(
                f"positive_class: found {problem.positive_class!r}; "
                f"expected one of {', '.join(classes)}"
            )
    return inferred.model_copy(update={**changes, "classes": classes})
