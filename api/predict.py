"""`POST /predict`: decode, then score, journal and answer together with whoever else waits."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from api.canary import fault
from api.decoder import decode_predict
from api.endpoint import Endpoint
from api.errors import no_model
from api.exchange import read_body, send_json
from api.gathering import Gathering, Waiting
from api.intake import Asked
from api.session import ServedModel


class Predict(Endpoint):
    """The endpoint of one problem, as bare ASGI: this is the path that must be fast."""

    required_scope = "predict"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one prediction once it is durable."""
        if (failure := scope.get("failure")) is not None:
            raise failure
        if "was_checked" not in scope:
            self._runtime.gate.check(scope, self.required_scope)
        content = await read_body(scope, receive)
        model = self._slot.model
        if model is None:
            decode_predict(content)  # what is wrong stays wrong with any model
            raise no_model()
        asked = model.intake.read(content)
        if asked.prediction_id is None:
            await send_json(send, await self._ask(model, asked, content))
            return
        async with self._runtime.claims.hold(self._problem, asked.prediction_id):
            body = await self._runtime.answers.find(self._problem, asked.prediction_id)
            if body is None:
                body = await self._answer(content)
            await send_json(send, body)

    async def _answer(self, content: bytes) -> bytes:
        # Read again, because there was a wait: the newest model answers.
        model = self._slot.model
        assert model is not None
        return await self._ask(model, model.intake.read(content), content)

    async def _ask(self, model: ServedModel, asked: Asked, content: bytes) -> bytes:
        """The answer of the model, or of its canary; of the model as well where a canary fails."""
        canary = model.canary
        if canary is None or not canary.takes(asked, content):
            return await self._gathering.ask(model, asked)
        try:
            return await self._gathering.ask(canary.model, canary.model.intake.read(content))
        except Exception as error:
            why = fault(error)
            if why is None:
                raise
        body = await self._gathering.ask(model, asked)
        # The model could answer: then the request was not to blame.
        self._slot.blame(canary, why)
        return body

    def knows(self, authorization: bytes) -> bool:
        """Whether the token in a header may ask, however often it does."""
        return self._runtime.gate.knows(authorization, self.required_scope)

    def admit(self, authorization: bytes) -> None:
        """Let a client ask now, by its ``Authorization`` header.

        Raises ApiError 401, 403 or 429.
        """
        self._runtime.gate.admit(authorization, self.required_scope)

    def take(self, content: bytes) -> Waiting | None:
        """A whole request on its way to its answer, or None when it has to wait for something.

        Raises ApiError; whatever happens, the same request may then be given to `__call__`.
        """
        model = self._slot.model
        if model is None:
            return None
        asked = model.intake.read(content)
        if asked.prediction_id is not None:
            return None
        if model.canary is not None and model.canary.takes(asked, content):
            return None
        return self._gathering.add(model, asked)

    @property
    def _gathering(self) -> Gathering:
        return self._runtime.gatherings[self._problem]
