"""`POST /predict/batch`: many rows, one graph call, all of them durable before the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import numpy as np
from starlette.types import Receive, Scope, Send

from api.batch_answer import Answers, error_items, to_json
from api.batch_body import Body, send_bytes
from api.batch_json import JsonReader
from api.batch_request import ARROW, CSV, JSON, OnError, header, media_type, on_error_of
from api.batch_rows import Rows
from api.batch_score import Decisions, Made, decide, new_ids, records, score
from api.endpoint import Endpoint
from api.errors import ApiError
from api.runtime import Runtime
from api.session import ServedModel
from api.sql import find_answers
from storage.journal import Entry
from storage.prediction_batches import BatchRecord
from storage.records import decode_prediction

# What the journal is given at once: single predictions wait for the same flush, so it is short.
FLUSH_BYTES = 4 * 1024 * 1024

Recorded = list[tuple[BatchRecord, bytes]]


@dataclass(frozen=True)
class Asked:
    """One request: a body of some media type, and how it wants to be answered."""

    content: bytes
    kind: str
    on_error: OnError
    wants_arrow: bool


@dataclass(frozen=True)
class Done:
    """What was decided, what goes to the journal, and what is answered once it is there."""

    decisions: Decisions
    recorded: Recorded
    answer: bytes


class Reader:
    """Decodes the bodies for one model."""

    def __init__(self, model: ServedModel) -> None:
        self.model = model
        self.schema = model.schema
        self._json = JsonReader(self.schema)

    def read(self, content: bytes, kind: str) -> Rows:
        """The rows of a body of this media type. Raises ApiError."""
        if kind == ARROW:
            from api.batch_arrow import read_arrow

            return read_arrow(content, self.schema)
        if kind == CSV:
            from api.batch_csv import read_csv

            return read_csv(content, self.schema)
        return self._json.read(content)


class PredictBatch(Endpoint):
    """The endpoint of one problem."""

    required_scope = "predict"

    def __init__(self, runtime: Runtime, problem: str, path: str) -> None:
        super().__init__(runtime, problem, path)
        self._reader: Reader | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a batch once all of its predictions are durable."""
        self._runtime.gate.check(scope, self.required_scope)
        on_error = on_error_of(scope)
        kind = media_type(scope)
        wants_arrow = ARROW in header(scope, b"accept")
        with Body(self._runtime.workroom) as body:
            content = await body.read(scope, receive)
            answer = await self._answer(Asked(content, kind, on_error, wants_arrow))
        await send_bytes(send, answer, ARROW if wants_arrow else JSON)

    async def _answer(self, asked: Asked) -> bytes:
        compute, size = self._runtime.workroom.compute, len(asked.content)
        # Read once: this request is this version's to the end.
        model = self._served()
        if self._reader is None or self._reader.model is not model:
            self._reader = Reader(model)
        reader = self._reader
        # As much as can be at once: each way to a thread and back costs as much as reading Arrow.
        rows, answers, done = await compute(size, _begin, self._problem, reader, asked)
        if done is not None:
            await self._keep(done.recorded)
        else:
            async with self._runtime.claims.hold_answers(self._problem, rows.chosen_ids()):
                await self._find_stored(rows, answers)
                done = await compute(size, _score, self._problem, reader, rows, answers, asked)
                await self._keep(done.recorded)
        self._count(done.decisions)
        return done.answer

    async def _find_stored(self, rows: Rows, answers: Answers) -> None:
        """Look for answers that the batch's own ids already have, in the journal and in SQL."""
        places = {
            name: index
            for index, name in enumerate(rows.prediction_ids or ())
            if name is not None and index not in rows.errors
        }
        recorder, problem = self._runtime.recorder, self._problem
        unknown = []
        for name, index in places.items():
            entry = recorder.prediction(problem, name)
            payload = entry.read() if entry else None
            if entry is None or payload is None:
                unknown.append(name)
                continue
            record = decode_prediction(payload, name)
            await recorder.durable(record, entry)
            answers.stored[index] = msgspec.json.decode(record.answer)
        neighbours = self._runtime.neighbours
        if unknown and neighbours.are_there:
            theirs = await asyncio.to_thread(neighbours.predictions, problem, unknown)
            for name, payload in theirs.items():
                record = decode_prediction(payload, name)
                answers.stored[places[name]] = msgspec.json.decode(record.answer)
            unknown = [name for name in unknown if name not in theirs]
        if unknown and self._runtime.drainer.failure is None:
            with contextlib.suppress(ApiError):  # predictions go on without SQL
                found = await self._runtime.ask_settled(find_answers, problem, unknown)
                answers.stored |= {places[name]: answer for name, answer in found.items()}

    async def _keep(self, recorded: Recorded) -> None:
        """Return when all records are durable. Raises ApiError 503 saying how many rows are."""
        recorder = self._runtime.recorder
        n_kept = 0
        waiting: list[tuple[BatchRecord, Entry]] = []
        failure: ApiError | None = None
        n_bytes = 0
        for place, (record, payload) in enumerate(recorded):
            try:
                waiting.append((record, recorder.add(record, payload)))
            except ApiError as error:
                failure = error
            n_bytes += len(payload)
            if failure is None and n_bytes < FLUSH_BYTES and place + 1 < len(recorded):
                continue
            for written, entry in waiting:
                try:
                    await recorder.durable(written, entry)
                    n_kept += written.n_rows
                except ApiError as error:
                    failure = error
            if failure is not None:
                raise _with_kept(failure, n_kept)
            waiting, n_bytes = [], 0

    def _count(self, decisions: Decisions) -> None:
        names = decisions.predictions if decisions.probabilities else ["value"] * len(decisions)
        for name, n_rows in Counter(names).items():
            self._runtime.metrics.predicted(self._problem, str(name), n_rows)


def _begin(problem: str, reader: Reader, asked: Asked) -> tuple[Rows, Answers, Done | None]:
    """The rows of a body; scored as well, unless ids of theirs must be looked for before."""
    rows = reader.read(asked.content, asked.kind)
    if rows.errors and asked.on_error == "fail":
        raise _refusal(rows)
    answers = Answers(reader.model, len(rows), datetime.now(UTC), rows.errors)
    if rows.chosen_ids():
        return rows, answers, None
    return rows, answers, _score(problem, reader, rows, answers, asked)


def _score(problem: str, reader: Reader, rows: Rows, answers: Answers, asked: Asked) -> Done:
    """Score the rows that are neither wrong nor answered before, and make the answer."""
    model = reader.model
    skipped = rows.errors.keys() | answers.stored.keys()
    indices: Sequence[int] = range(len(rows))
    part = rows
    if skipped:
        indices = [index for index in indices if index not in skipped]
        part = rows.take(indices)
    output = score(model, part.matrix(reader.schema))
    is_finite = np.isfinite(output).all(axis=1)
    if not is_finite.all():
        for index in np.flatnonzero(~is_finite).tolist():
            detail = "the model gave no finite answer to this row"
            rows.refuse(indices[index], "model_output", detail)
        if asked.on_error == "fail":
            raise no_finite_answer()
        return _score(problem, reader, rows, answers, asked)
    ids = new_ids(part.prediction_ids, len(part))
    decisions = decide(model, output)
    made = Made(problem, model, part, ids, decisions, answers.now)
    answers.fill(indices, ids, decisions)
    return Done(decisions, list(records(made)), _encode(answers, asked.wants_arrow))


def _encode(answers: Answers, is_arrow: bool) -> bytes:
    if is_arrow:
        from api.batch_answer_arrow import to_arrow

        return to_arrow(answers)
    return to_json(answers)


def _refusal(rows: Rows) -> ApiError:
    n_errors = len(rows.errors)
    return ApiError(
        422,
        "invalid_rows",
        f"{n_errors} of {len(rows)} rows are wrong; nothing was stored "
        "(?on_error=skip answers the others)",
        extra={"n_errors": n_errors, "errors": error_items(rows.errors)},
    )


def no_finite_answer() -> ApiError:
    """The refusal of a batch with a row that the model has no number for."""
    detail = "the model gave no finite answer to a row; nothing was stored"
    return ApiError(500, "model_output", detail)


def _with_kept(failure: ApiError, n_kept: int) -> ApiError:
    if not n_kept:
        return failure
    detail = f"the journal cannot take the whole batch; {n_kept} of its rows were kept"
    return ApiError(failure.status, failure.code, detail, failure.headers, {"n_kept": n_kept})
