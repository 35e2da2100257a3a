"""The answer to a batch as an Arrow stream; loaded with the first one asked for."""

from __future__ import annotations

from typing import Any

import pyarrow

from api.batch_answer import Answers


def to_arrow(answers: Answers) -> bytes:
    """One table of a row for each that was sent; version and time are in its metadata.

    ``stored_version`` names the version of the rows whose ids were answered before, ``error`` the
    code of those that are wrong.
    """
    columns = {name: pyarrow.array(values) for name, values in _columns(answers).items()}
    text = pyarrow.string()
    errors = [None] * answers.n_rows
    columns["error"] = _sparse({i: code for i, (code, _) in answers.errors.items()}, errors, text)
    versions = {index: answer["model_version"] for index, answer in answers.stored.items()}
    columns["stored_version"] = _sparse(versions, errors, text)
    table = pyarrow.table(columns).replace_schema_metadata(
        {"model_version": answers.model.manifest.version, "timestamp": answers.now.isoformat()}
    )
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _columns(answers: Answers) -> dict[str, list[Any]]:
    columns = dict(answers.columns)
    shares = columns.pop("probabilities", None)
    if shares is not None:
        for name in answers.model.manifest.classes:
            columns[f"probability_{name}"] = [row and row.get(name) for row in shares]
    return columns


def _sparse(found: dict[int, str], blank: list[None], kind: Any) -> Any:
    if not found:
        return pyarrow.nulls(len(blank), kind)
    return pyarrow.array([found.get(index) for index in range(len(blank))], kind)
