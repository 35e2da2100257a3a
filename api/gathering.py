"""The requests that wait at the same time, scored in one call and journalled in one write."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import groupby

import numpy as np
import numpy.typing as npt
from loguru import logger

from api.answer import Answer, build_answer
from api.decoder import encode
from api.intake import Asked
from api.metrics import Metrics
from api.recorder import Recorder
from api.session import ServedModel
from storage.prediction_batches import BatchRecord

# More than this in one call would keep those behind it waiting for longer than it saves.
LARGEST_CALL = 256
# Clients that were answered together ask again together. A turn costs several times as much as one
# more request in it, so it waits this long for as many as the last one answered.
PATIENCE_SECONDS = 0.0004
# Who asks again later than this was not waiting for the answer before.
PAUSE_SECONDS = 0.001

Numbers = npt.NDArray[np.float64]
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
        # How many the last turn answered, when it ended, and until when this one waits for as many.
        self._n_last = 0
        self._last_end = self._wait_until = 0.0

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
            now = time.perf_counter()
            is_soon = now - self._last_end < PAUSE_SECONDS
            self._wait_until = now + PATIENCE_SECONDS if is_soon else now
            asyncio.get_running_loop().call_soon(self._begin)
        return one

    def _begin(self) -> None:
        """The turn, once as many are there as in the last one or time is up.

        A timer of the event loop counts in milliseconds; so it looks again each time round.
        """
        if len(self._waiting) < self._n_last and time.perf_counter() < self._wait_until:
            asyncio.get_running_loop().call_soon(self._begin)
        else:
            self._turn()

    def _turn(self) -> None:
        """Answer all that wait; those who come while this is written make up the next turn."""
        self._is_turn_due = False
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), LARGEST_CALL):
            part = waiting[start : start + LARGEST_CALL]
            for _, group in groupby(part, key=lambda one: id(one.model)):
                self._answer(list(group))
        self._n_last, self._last_end = len(waiting), time.perf_counter()

    def _answer(self, group: list[Waiting]) -> None:
        now = datetime.now(UTC)
        taken, numbers = self._decide(group, now)
        if not taken:
            return
        record = self._record(taken, numbers, now)
        try:
            entry = self._recorder.add(record)
        except Exception as error:
            for one in taken:
                _reply(one, None, error)
            return
        self._recorder.journal.flush()
        if entry.done is None:
            self._settle(taken, record, None)
        else:
            self._n_writing += 1
            entry.done.add_done_callback(lambda done: self._written(taken, record, done))

    def _decide(self, group: list[Waiting], now: datetime) -> tuple[list[Waiting], Numbers]:
        """Those who get an answer, and their rows; the others are told why not."""
        numbers, outputs = score(group)
        taken: list[Waiting] = []
        places: list[int] = []
        fresh = os.urandom(16 * len(group)).hex()
        for place, (one, output) in enumerate(zip(group, outputs, strict=True)):
            try:
                if isinstance(output, Exception):
                    raise output
                name = one.asked.prediction_id or fresh[32 * place : 32 * place + 32]
                one.answer = build_answer(one.model, output, name, now)
            except Exception as error:
                _reply(one, None, error)
            else:
                taken.append(one)
                places.append(place)
        return taken, numbers if len(taken) == len(group) else numbers[places]

    def _record(self, taken: list[Waiting], numbers: Numbers, now: datetime) -> BatchRecord:
        """The predictions of one call, as they are journalled."""
        model = taken[0].model
        schema, manifest = model.schema, model.manifest
        answers = [one.answer for one in taken if one.answer is not None]
        asked = [one.asked for one in taken]
        is_plain, is_priced = manifest.task == "regression", manifest.task == "binary"
        return BatchRecord(
            problem=self._problem,
            model_version=manifest.version,
            created_at=now,
            prediction_ids=[answer.prediction_id for answer in answers],
            keys=[each.key for each in asked] if any(each.key for each in asked) else None,
            event_times=[each.event_time or now for each in asked],
            number_type="<f8",
            numbers=schema.numbers_of(numbers).tobytes(),
            texts=[[each.values[place] for each in asked] for place in schema.text_places],
            text_places=schema.text_places,
            predictions=[answer.prediction for answer in answers],
            probabilities=None if is_plain else [a.probabilities or [] for a in answers],
            class_names=list(manifest.classes) if manifest.task == "multiclass" else [],
            risk_levels=[a.risk_level for a in answers] if is_priced else None,
            expected_costs=[a.expected_cost or 0.0 for a in answers] if is_priced else None,
        )

    def _written(
        self, taken: list[Waiting], record: BatchRecord, done: asyncio.Future[None]
    ) -> None:
        self._n_writing -= 1
        if self._waiting and not self._n_writing:
            self._turn()
        self._settle(taken, record, done.exception())

    def _settle(
        self, taken: list[Waiting], record: BatchRecord, error: BaseException | None
    ) -> None:
        if error is not None:
            self._recorder.forget([record])
            refusal = self._recorder.refusal(error)
            for one in taken:
                _reply(one, None, refusal)
            return
        is_class = record.probabilities is not None
        names = list(map(str, record.predictions)) if is_class else ["value"] * len(taken)
        for name in set(names):
            self._metrics.predicted(self._problem, name, names.count(name))
        for one in taken:
            assert one.answer is not None
            _reply(one, one.answer.body, None)


def score(group: list[Waiting]) -> tuple[Numbers, list[list[float] | Exception]]:
    """The rows of requests to one model, and its output for each or why it has none."""
    model = group[0].model
    flat = np.frombuffer(b"".join([one.asked.row for one in group]), dtype="<f8")
    numbers = flat.reshape(len(group), -1)
    try:
        with np.errstate(over="ignore"):
            matrix = numbers.astype(np.float32)
        if not np.isinf(matrix).any():
            return numbers, list(model.score_all(matrix))
    except Exception as error:  # one row, or the model itself: it shows when they are alone
        logger.debug("a group of {} is scored singly: {}", len(group), type(error).__name__)
    return numbers, [_score_singly(model, one.asked) for one in group]


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
