"""The answer to a batch: one column per field of `/predict`'s answer, as JSON or Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from api.batch_rows import ERRORS_LIMIT
from api.batch_score import Decisions
from api.session import ServedModel

# Field of one answer, and the name of its column in a batch's JSON.
COLUMNS = {
    "prediction_id": "prediction_ids",
    "prediction": "predictions",
    "probability": "probabilities",
    "probabilities": "probabilities",
    "risk_level": "risk_levels",
    "expected_cost": "expected_costs",
}
Errors = Mapping[int, tuple[str, str]]


@dataclass
class Answers:
    """The answers of a batch by field; None for the rows in ``errors``.

    ``stored`` holds the answers that some rows had before, by index.
    """

    model: ServedModel
    n_rows: int
    now: datetime
    errors: Errors
    stored: dict[int, dict[str, Any]] = field(default_factory=dict)
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def fill(self, indices: Sequence[int], ids: list[str], decisions: Decisions) -> None:
        """Put what was decided now, and what was stored before, in its rows."""
        columns: dict[str, list[Any]] = {"prediction_id": ids, "prediction": decisions.predictions}
        if self.model.manifest.task == "binary" and decisions.probabilities is not None:
            columns["probability"] = [shares[1] for shares in decisions.probabilities]
        elif decisions.probabilities is not None:
            names = self.model.manifest.classes
            columns["probabilities"] = [
                dict(zip(names, shares, strict=True)) for shares in decisions.probabilities
            ]
        if decisions.risk_levels is not None:
            columns["risk_level"] = list(decisions.risk_levels)
        if decisions.expected_costs is not None:
            columns["expected_cost"] = decisions.expected_costs
        if len(indices) < self.n_rows:
            columns = {name: self._spread(indices, each) for name, each in columns.items()}
        for index, answer in self.stored.items():
            for name, column in columns.items():
                column[index] = answer.get(name)
        self.columns = columns

    def _spread(self, indices: Sequence[int], values: list[Any]) -> list[Any]:
        whole: list[Any] = [None] * self.n_rows
        for index, value in zip(indices, values, strict=True):
            whole[index] = value
        return whole


def error_items(errors: Errors) -> list[dict[str, int | str]]:
    """The wrong rows with the reason of each, the first thousand of them."""
    return [
        {"index": index, "code": code, "detail": detail}
        for index, (code, detail) in sorted(errors.items())[:ERRORS_LIMIT]
    ]


def to_json(answers: Answers) -> bytes:
    """The answer as a JSON object of columns."""
    document: dict[str, Any] = {
        COLUMNS[name]: column for name, column in answers.columns.items() if name != "probabilities"
    }
    shares = answers.columns.get("probabilities")
    if shares is not None:
        document["probabilities"] = {
            name: [None if row is None else row.get(name) for row in shares]
            for name in answers.model.manifest.classes
        }
    document["model_version"] = answers.model.manifest.version
    document["timestamp"] = answers.now
    document["n_errors"] = len(answers.errors)
    document["errors"] = error_items(answers.errors)
    document["stored"] = [
        {"index": index, "model_version": answer["model_version"], "timestamp": answer["timestamp"]}
        for index, answer in sorted(answers.stored.items())
    ]
    return msgspec.json.encode(document)
