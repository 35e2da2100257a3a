"""Batch scoring of a file with the champion's bundle: files in, files out, nothing else needed."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, Protocol, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from api.batch_score import Decisions
from api.session import ServedModel, load_model
from operate.predict_score import Scorer
from settings import Settings
from storage.bundles import BundleError, replacing
from storage.csv_export import neutral, neutral_text
from storage.pointers import pointer_path, read_pointer
from storage.portions import SUFFIXES, OpenTable, open_portions
from storage.problems import load_problem, problem_folders

OnError = Literal["fail", "skip"]
MOST_ERRORS = 100
MOST_NAMED = 5


class PredictError(ValueError):
    """The file cannot be scored as asked; the message says what was found and what to do."""


class _Writer(Protocol):
    def write(self, columns: list[list[Any]]) -> None: ...

    def close(self) -> None: ...


def predict_file(
    settings: Settings,
    problem: str | None,
    source: Path,
    target: Path,
    on_error: OnError = "fail",
    progress: Callable[[float], None] = lambda _share: None,
) -> dict[str, Any]:
    """Score each row of a file by the champion; OUT holds the same columns and the predictions.

    A row that the model cannot take refuses the whole file, or with ``skip`` is left out and
    listed. OUT is replaced whole at the end or not at all; ``progress`` is told the share that is
    done. Raises PredictError, TableError, or BundleError where nothing can be served.
    """
    model = _champion(settings, problem or settings.active[0])
    for path in (source, target):
        if not path.name.lower().endswith(SUFFIXES):
            raise PredictError(f"{path.name}: expected a name ending in {', '.join(SUFFIXES)}")
    if target.exists() and source.exists() and target.samefile(source):
        raise PredictError(f"{target.name} is the file that is read; name another one")
    with open_portions(source) as table:
        scorer = Scorer(model, table.names, source.name)
        added = _added(model)
        if taken := [name for name in added if name in table.names]:
            raise PredictError(
                f"{source.name}: the column {taken[0]!r} stands there already; rename or remove it"
            )
        with _writing(target, table, added) as writer:
            counted = _score_all(scorer, table, writer, on_error, progress, source.name)
    manifest = model.manifest
    told = {"problem": manifest.problem, "version": manifest.version}
    return {**told, "sha256": manifest.model_sha256, "out": str(target), **counted}


def _champion(settings: Settings, name: str) -> ServedModel:
    if not pointer_path(settings.store, name).exists():
        load_problem(name, problem_folders(settings))  # a name that is not known is told as such
    try:
        pointer = read_pointer(settings.store, name)
    except msgspec.MsgspecError as error:
        raise BundleError(
            "pointer", f"{name}: the file that says what is served is damaged"
        ) from error
    if pointer is None:
        raise BundleError("no_model", f"{name}: nothing was promoted yet; see `perennial status`")
    return load_model(settings.store, pointer)


def _score_all(
    scorer: Scorer,
    table: OpenTable,
    writer: _Writer,
    on_error: OnError,
    progress: Callable[[float], None],
    name: str,
) -> dict[str, Any]:
    n_rows = n_errors = 0
    listed: list[dict[str, Any]] = []
    for portion in table.portions:
        kept, decisions, errors = scorer.score(portion)
        for place, (code, detail) in sorted(errors.items())[: MOST_ERRORS - len(listed)]:
            listed.append({"row": portion.first_row + place, "code": code, "detail": detail})
        if errors and on_error == "fail":
            raise PredictError(_refusal(name, listed, len(errors)))
        columns = [[column[place] for place in kept] for column in portion.columns]
        writer.write(columns + _values(scorer.model, decisions))
        n_rows += len(portion)
        n_errors += len(errors)
        progress(portion.share)
    if n_rows == n_errors:
        found = f"each of the {n_rows} rows is bad" if n_rows else "found no rows"
        raise PredictError(f"{name}: {found}; nothing was written")
    counts = {"rows": n_rows, "predicted": n_rows - n_errors, "skipped": n_errors}
    return {**counts, "errors": listed}


def _refusal(name: str, listed: list[dict[str, Any]], n_errors: int) -> str:
    named = "; ".join(f"row {error['row']}: {error['detail']}" for error in listed[:MOST_NAMED])
    more = f" (and {n_errors - MOST_NAMED} more near there)" if n_errors > MOST_NAMED else ""
    return f"{name}: {named}{more}; nothing was written (--on-error skip leaves such rows out)"


def _added(model: ServedModel) -> dict[str, pa.DataType]:
    """Names and types of the columns that predictions add."""
    manifest = model.manifest
    if manifest.task == "regression":
        return {"prediction": pa.float64(), "model_version": pa.string()}
    kind = pa.int64() if manifest.class_type == "integer" else pa.string()
    added: dict[str, pa.DataType] = {"prediction": kind}
    if manifest.task == "multiclass":
        added |= {f"probability_{name}": pa.float64() for name in manifest.classes}
    else:
        added["probability"] = pa.float64()
        if manifest.risk_levels:
            added["risk_level"] = pa.string()
        added["expected_cost"] = pa.float64()
    return {**added, "model_version": pa.string()}


def _values(model: ServedModel, decisions: Decisions) -> list[list[Any]]:
    """The values of those columns, in the same order."""
    columns: list[list[Any]] = [decisions.predictions]
    if model.manifest.task == "multiclass":
        classes = range(len(model.manifest.classes))
        columns += [[row[place] for row in decisions.probabilities or ()] for place in classes]
    elif model.manifest.task == "binary":
        columns.append([row[1] for row in decisions.probabilities or ()])
        if model.manifest.risk_levels:
            columns.append(list(decisions.risk_levels or ()))
        columns.append(decisions.expected_costs or [])
    return [*columns, [model.manifest.version] * len(decisions)]


class _CsvWriter:
    def __init__(self, file: IO[bytes], names: list[str], is_zipped: bool) -> None:
        self._zip = gzip.GzipFile(fileobj=file, mode="wb", mtime=0) if is_zipped else None
        self._text = io.TextIOWrapper(
            cast(IO[bytes], self._zip or file), encoding="utf-8", newline=""
        )
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._writer.writerow([neutral(name) for name in names])

    def write(self, columns: list[list[Any]]) -> None:
        rows = zip(*columns, strict=True)
        self._writer.writerows([neutral_text(cell) for cell in row] for row in rows)

    def close(self) -> None:
        self._text.flush()
        self._text.detach()
        if self._zip is not None:
            self._zip.close()


class _ParquetWriter:
    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(file, schema)

    def write(self, columns: list[list[Any]]) -> None:
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


@contextmanager
def _writing(target: Path, table: OpenTable, added: dict[str, pa.DataType]) -> Iterator[_Writer]:
    names = [*table.names, *added]
    with replacing(target) as file:
        writer: _Writer
        if target.name.lower().endswith(".parquet"):
            types = [*(table.types or [pa.string()] * len(table.names)), *added.values()]
            writer = _ParquetWriter(file, pa.schema(list(zip(names, types, strict=True))))
        else:
            writer = _CsvWriter(file, names, target.name.lower().endswith(".gz"))
        yield writer
        writer.close()
