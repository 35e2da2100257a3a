"""The requests that wait at the same time, scored in one call and journalled in one write."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import groupby

import msgspec
import numpy as np
from loguru import logger

from api.answer import Answer, build_answer
from api.decoder import encode
from api.intake import Asked
from api.metrics import Metrics
from api.recorder import Recorder
from api.session import ServedModel
from storage.predictions import PredictionRecord

# More than this in one call would keep those behind it waiting for longer than it saves.
LARGEST_CALL = 256

_json = msgspec.json.Encoder()


Reply = Callable[[bytes | None, Exception | None], None]


class Waiting:
    """One request between its decoding and its answer; ``reply`` is called once, with either."""

    __slots__ = ("answer", "asked", "model", "reply")

    def __init__(self, model: ServedModel, asked: Asked, reply: Reply) -> None:
        self.model = model
        self.asked = asked
        self.reply = reply
        self.answer: Answer | None = None


class Gathering:
    """Gathers the requests of one problem. One that fails does not touch those beside it."""

    def __init__(self, problem: str, recorder: Recorder, metrics: Metrics) -> None:
        self._problem = problem
        self._recorder = recorder
        self._metrics = metrics
        self._waiting: list[Waiting] = []
        self._is_turn_due = False
        self._n_writing = 0

    async def ask(self, model: ServedModel, asked: Asked) -> bytes:
        """The body of the answer, once the prediction is durable.

        It is this model's answer whatever is promoted meanwhile. Raises ApiError.
        """
        done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def reply(body: bytes | None, error: Exception | None) -> None:
            if done.done():
                return
            if body is not None:
                done.set_result(body)
            elif error is not None:
                done.set_exception(error)

        self.add(model, asked).reply = reply
        return await done

    def add(self, model: ServedModel, asked: Asked) -> Waiting:
        """The same for who sets ``reply`` in this turn of the event loop."""
        one = Waiting(model, asked, _nobody)
        self._waiting.append(one)
        if not self._is_turn_due and not self._n_writing:
            self._is_turn_due = True
            asyncio.get_running_loop().call_soon(self._turn)
        return one

    def _turn(self) -> None:
        """Answer all that wait; those who come while this is written make up the next turn."""
        self._is_turn_due = False
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), LARGEST_CALL):
            part = waiting[start : start + LARGEST_CALL]
            for _, group in groupby(part, key=lambda one: id(one.model)):
                self._answer(list(group))

    def _answer(self, group: list[Waiting]) -> None:
        now = datetime.now(UTC)
        taken: list[Waiting] = []
        entry = None
        fresh = os.urandom(16 * len(group)).hex()
        for place, (one, output) in enumerate(zip(group, score(group), strict=True)):
            try:
                if isinstance(output, Exception):
                    raise output
                name = one.asked.prediction_id or fresh[32 * place : 32 * place + 32]
                entry = self._recorder.add(self._record(one, output, name, now))
            except Exception as error:
                _reply(one, None, error)
            else:
                taken.append(one)
        if entry is None:
            return
        self._recorder.journal.flush()
        if entry.done is None:
            self._settle(taken, None)
        else:
            self._n_writing += 1
            entry.done.add_done_callback(lambda done: self._written(taken, done))

    def _record(
        self, one: Waiting, output: list[float], prediction_id: str, now: datetime
    ) -> PredictionRecord:
        asked, model = one.asked, one.model
        one.answer = answer = build_answer(model, output, prediction_id, now)
        return PredictionRecord(
            self._problem,
            prediction_id,
            model.manifest.version,
            asked.key,
            asked.event_time or now,
            _json.encode(asked.values),
            answer.prediction,
            answer.probabilities,
            answer.body,
            now,
        )

    def _written(self, taken: list[Waiting], done: asyncio.Future[None]) -> None:
        self._n_writing -= 1
        if self._waiting and not self._n_writing:
            self._turn()
        self._settle(taken, done.exception())

    def _settle(self, taken: list[Waiting], error: BaseException | None) -> None:
        for one in taken:
            answer = one.answer
            assert answer is not None
            if error is not None:
                self._recorder.forget_prediction(self._problem, answer.prediction_id)
                _reply(one, None, self._recorder.refusal(error))
                continue
            name = "value" if answer.probabilities is None else str(answer.prediction)
            self._metrics.predicted(self._problem, name)
            _reply(one, answer.body, None)


def score(group: list[Waiting]) -> list[list[float] | Exception]:
    """The model's output for each request of one model, or why it has none."""
    model = group[0].model
    try:
        with np.errstate(over="ignore"):
            matrix = np.array([one.asked.row for one in group], dtype=np.float32)
        if not np.isinf(matrix).any():
            return list(model.score_all(matrix))
    except Exception as error:  # one row, or the model itself: it shows when they are alone
        logger.debug("a group of {} is scored singly: {}", len(group), type(error).__name__)
    return [_score_singly(model, one.asked) for one in group]


def _score_singly(model: ServedModel, asked: Asked) -> list[float] | Exception:
    try:
        return model.score(encode(list(asked.values), model.encoder))
    except Exception as error:
        return error


def _reply(one: Waiting, body: bytes | None, error: Exception | None) -> None:
    try:
        one.reply(body, error)
    except Exception as failure:  # those beside it are still to be told
        logger.error("an answer could not be sent: {}", type(failure).__name__)


def _nobody(_body: bytes | None, _error: Exception | None) -> None:
    """The reply before anybody asked for it."""
