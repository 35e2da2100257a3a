"""How long a turn waits for company, by a clock that only the test moves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.gathering import PATIENCE_SECONDS, PAUSE_SECONDS, Gathering, Waiting


class Clock:
    """Stands until it is moved."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now


class Turns(Gathering):
    """Remembers how many each turn took, and answers nobody."""

    def __init__(self) -> None:
        nothing: Any = None
        super().__init__("demo", nothing, nothing)
        self.sizes: list[int] = []

    def _answer(self, group: list[Waiting]) -> None:
        self.sizes.append(len(group))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("api.gathering.time", clock)
    return clock


def ask(turns: Turns, n: int = 1) -> None:
    anything: Any = None
    for _ in range(n):
        turns.add(anything, anything)


async def go_round(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


def test_a_turn_waits_for_as_many_as_the_last_one_answered(clock: Clock) -> None:
    async def talk() -> list[int]:
        turns = Turns()
        ask(turns, 3)
        await go_round()
        assert turns.sizes == [3]
        ask(turns, 2)
        await go_round()
        assert turns.sizes == [3]
        ask(turns)
        await go_round()
        return turns.sizes

    assert asyncio.run(talk()) == [3, 3]


def test_nobody_waits_longer_than_is_worth_it(clock: Clock) -> None:
    async def talk() -> list[int]:
        turns = Turns()
        ask(turns, 3)
        await go_round()
        ask(turns)
        clock.now += PATIENCE_SECONDS / 2
        await go_round()
        assert turns.sizes == [3]
        clock.now += PATIENCE_SECONDS
        await go_round()
        assert turns.sizes == [3, 1]
        ask(turns)  # alone again, and so expected
        await go_round()
        return turns.sizes

    assert asyncio.run(talk()) == [3, 1, 1]


def test_who_comes_after_a_pause_is_answered_at_once(clock: Clock) -> None:
    async def talk() -> list[int]:
        turns = Turns()
        ask(turns, 3)
        await go_round()
        clock.now += PAUSE_SECONDS
        ask(turns)
        await go_round(2)
        return turns.sizes

    assert asyncio.run(talk()) == [3, 1]
