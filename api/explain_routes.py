"""`POST /explain`, and `POST /predict?explain=true`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Message, Receive, Scope, Send

from api.answer import build_answer
from api.canary import answering
from api.decoder import decode_predict, encode, values_in_order
from api.endpoint import Endpoint
from api.errors import ApiError
from api.exchange import read_body, send_json
from api.explain_parts import ExplanationError
from api.explain_shelf import UNAVAILABLE
from api.explain_stored import load_former
from api.info import prediction
from api.predict import Predict
from api.runtime import Runtime
from api.session import ServedModel
from api.sql import find_bundle
from storage.bundles import BundleError

PARAMETER = "explain"
WORDS = {"true": True, "1": True, "false": False, "0": False}

_json = msgspec.json.Encoder()


class Explain(Endpoint):
    """Explains what the model says of some features; nothing is stored."""

    required_scope = "predict"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the prediction and its explanation."""
        self._runtime.gate.check(scope, self.required_scope)
        body = decode_predict(await read_body(scope, receive))
        model = self._served()
        values = values_in_order(body, model.encoder)
        row = encode(values, model.encoder)
        explanation = await self._slot.explainers.explain(model, values, row)
        answer = msgspec.json.decode(build_answer(model, model.score(row), "", _now()).body)
        del answer["prediction_id"]
        await send_json(send, _json.encode({**answer, **explanation}))


class Explained(Endpoint):
    """`Predict`, which also explains its answer when the query asks for it."""

    required_scope = Predict.required_scope

    def __init__(self, inner: Predict, runtime: Runtime, problem: str) -> None:
        super().__init__(runtime, problem, inner.path)
        self._inner = inner

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one prediction; this adds nothing to a request without a query."""
        if not scope["query_string"] or not wants_explanation(scope["query_string"]):
            return self._inner(scope, receive, send)
        return self._explained(scope, receive, send)

    async def _explained(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._runtime.gate.check(scope, self.required_scope)
        content = await read_body(scope, receive)
        body = decode_predict(content)
        if body.prediction_id is not None:
            # The id may have an answer already, by another version and of other values.
            answer = await self._answer(scope, content)
            explanation = await self._of_stored(body.prediction_id)
        else:
            # First, so that nothing is stored when there is no explanation.
            model, explanation = await self._of_features(content)
            answer = await self._answer(scope, content)
            if _version(answer) != model.manifest.version:  # swapped meanwhile
                model, explanation = await self._of_features(content)
            if _version(answer) != model.manifest.version:
                raise ApiError(503, UNAVAILABLE, "the model was replaced twice meanwhile")
        member = b',"explanation":' + _json.encode(explanation) + b"}"
        await send_json(send, answer[:-1] + member)

    async def _answer(self, scope: Scope, content: bytes) -> bytes:
        """What a request without the parameter is told; its refusals pass as they are."""
        parts: list[bytes] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Message) -> None:
            parts.append(message.get("body", b""))

        await self._inner(scope, receive, send)
        return b"".join(parts)

    async def _of_features(self, content: bytes) -> tuple[ServedModel, dict[str, Any]]:
        model = answering(self._served(), content)
        values = values_in_order(decode_predict(content), model.encoder)
        row = encode(values, model.encoder)
        return model, await self._slot.explainers.explain(model, values, row)

    async def _of_stored(self, prediction_id: str) -> dict[str, Any]:
        found = await prediction(self._runtime, self._slot, prediction_id)
        features = found["features"]
        values = list(features.values()) if isinstance(features, dict) else features
        model = self._slot.model
        if model is None or model.manifest.version != found["model_version"]:
            model = await self._former(found["model_version"])
        row = encode(values, model.encoder)
        return await self._slot.explainers.explain(model, values, row)

    async def _former(self, version: str) -> ServedModel:
        problem, store = self._slot.problem, self._runtime.settings.store
        bundle = await self._runtime.ask(find_bundle, problem, version)
        try:
            return await asyncio.to_thread(load_former, store, problem, version, bundle)
        except (ExplanationError, BundleError):
            raise ApiError(
                422, UNAVAILABLE, f"the bundle of version {version}, which answered, is not there"
            ) from None


def wants_explanation(query: bytes) -> bool:
    """Whether a query string asks for an explanation.

    Raises ApiError 422 when its parameter is neither true nor false.
    """
    words = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    word = words.get(PARAMETER, "false")
    if word not in WORDS:
        raise ApiError(422, "invalid_parameter", f"{PARAMETER}: expected true or false")
    return WORDS[word]


def _version(answer: bytes) -> str:
    return str(msgspec.json.decode(answer)["model_version"])


def _now() -> datetime:
    return datetime.now(UTC)
