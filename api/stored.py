"""What was answered already: looked for in the journals of all workers, then in SQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from api.answer import in_order
from api.errors import ApiError
from api.recorder import Recorder
from storage.neighbours import Neighbours
from storage.records import decode_prediction

Found = dict[str, dict[str, Any]]
Search = Callable[[str, list[str]], Awaitable[Found]]


class StoredAnswers:
    """Finds the answer that an id already has. Those who wait for SQL share one query."""

    def __init__(self, recorder: Recorder, neighbours: Neighbours, search: Search) -> None:
        self._recorder = recorder
        self._neighbours = neighbours
        self._search = search
        self._wanted: dict[str, dict[str, asyncio.Future[Found]]] = {}
        self._searches: set[asyncio.Task[None]] = set()

    async def find(self, problem: str, prediction_id: str) -> bytes | None:
        """The body that was sent for an id, durable; None when it is new.

        The journals first: a record only ever moves from there to SQL. While SQL does not
        answer they are all that is looked at, because predictions go on.
        """
        body = await self._waiting(problem, prediction_id)
        if body is None and self._neighbours.are_there:
            names = [prediction_id]
            found = await asyncio.to_thread(self._neighbours.predictions, problem, names)
            if prediction_id in found:
                return decode_prediction(found[prediction_id], prediction_id).answer
        if body is None:
            with contextlib.suppress(ApiError):
                answer = (await self._in_sql(problem, prediction_id)).get(prediction_id)
                return None if answer is None else in_order(msgspec.json.encode(answer))
        return body

    async def _waiting(self, problem: str, prediction_id: str) -> bytes | None:
        entry = self._recorder.prediction(problem, prediction_id)
        payload = None if entry is None else entry.read()
        if entry is None or payload is None:
            return None
        record = decode_prediction(payload, prediction_id)
        await self._recorder.durable(record, entry)
        return record.answer

    async def _in_sql(self, problem: str, prediction_id: str) -> Found:
        wanted = self._wanted.get(problem)
        if wanted is None:
            wanted = self._wanted[problem] = {}
            search = asyncio.create_task(self._search_all(problem, wanted))
            self._searches.add(search)
            search.add_done_callback(self._searches.discard)
        done = wanted.get(prediction_id)
        if done is None:
            done = wanted[prediction_id] = asyncio.get_running_loop().create_future()
        return await asyncio.shield(done)

    async def _search_all(self, problem: str, wanted: dict[str, asyncio.Future[Found]]) -> None:
        await asyncio.sleep(0)  # whoever asks in this turn joins
        del self._wanted[problem]
        try:
            found = await self._search(problem, list(wanted))
        except Exception as error:
            for done in wanted.values():
                done.set_exception(error)
                done.exception()  # its request may have gone: then nobody else asks
        else:
            for done in wanted.values():
                done.set_result(found)
