"""`POST /predict`: decode, score, journal, answer."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from uuid import uuid4

from starlette.types import Receive, Scope, Send

from api.answer import build_answer, in_order
from api.decoder import PredictBody, decode_predict, encode, parse_time, values_in_order
from api.errors import ApiError
from api.exchange import read_body, send_json
from api.runtime import Runtime
from api.session import ServedModel
from storage.predictions import PredictionRecord, decode_prediction, find_answer


def no_model() -> ApiError:
    """The refusal before a problem has its first model."""
    return ApiError(
        503,
        "no_model",
        "no model has been promoted yet; it answers by itself as soon as one is",
        {"Retry-After": "5"},
    )


class Predict:
    """The endpoint of one problem, as bare ASGI: this is the path that must be fast."""

    required_scope = "predict"

    def __init__(self, runtime: Runtime, problem: str, path: str) -> None:
        self._runtime = runtime
        self._problem = problem
        self.path = path
        self._slot = runtime.slots[problem]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one prediction once it is durable."""
        self._runtime.gate.check(scope, self.required_scope)
        body = decode_predict(await read_body(scope, receive))
        if body.prediction_id is not None:
            stored = await self._stored(body.prediction_id)
            if stored is not None:
                await send_json(send, stored)
                return
        # Read once, after the last wait: this request is this version's to the end.
        model = self._slot.model
        if model is None:
            raise no_model()
        await send_json(send, await self._answer(model, body))

    async def _answer(self, model: ServedModel, body: PredictBody) -> bytes:
        now = datetime.now(UTC)
        event_time = parse_time(body.event_time, "event_time") if body.event_time else now
        values = values_in_order(body, model.encoder)
        output = model.score(encode(values, model.encoder))
        prediction_id = body.prediction_id or uuid4().hex
        answer = build_answer(model, output, prediction_id, now)
        record = PredictionRecord(
            self._problem,
            prediction_id,
            model.manifest.version,
            None if body.key is None else str(body.key),
            event_time,
            values,
            answer.prediction,
            answer.probabilities,
            answer.body,
            now,
        )
        recorder = self._runtime.recorder
        await recorder.durable(record, recorder.add(record))
        name = "value" if answer.probabilities is None else str(answer.prediction)
        self._runtime.metrics.predicted(self._problem, name)
        return answer.body

    async def _stored(self, prediction_id: str) -> bytes | None:
        """The answer that this id already has, durable."""
        waiting = await self._waiting(prediction_id)
        if waiting is not None or self._runtime.drainer.failure is not None:
            return waiting
        found = None
        with contextlib.suppress(ApiError):  # predictions go on without SQL
            found = await self._runtime.ask_settled(find_answer, self._problem, prediction_id)
        # While SQL was asked, the same id may have been answered by another request.
        waiting = await self._waiting(prediction_id)
        return waiting if waiting is not None else found and in_order(found)

    async def _waiting(self, prediction_id: str) -> bytes | None:
        entry = self._runtime.recorder.prediction(self._problem, prediction_id)
        if entry is None:
            return None
        payload = entry.read()
        if payload is None:
            return None
        record = decode_prediction(payload, prediction_id)
        await self._runtime.recorder.durable(record, entry)
        return record.answer
