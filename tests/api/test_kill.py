"""Real servers under traffic: swapped, then killed at random moments as by a power cut."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine, select

from settings import Settings
from storage.candidates import position
from storage.database import open_engine, reading
from storage.pointers import acknowledgements
from storage.tables import feedback, predictions
from tests.api.servers import ServerProcess, free_port, wait_until
from tests.factories_bundles import promote, promote_version, stand_beside, write_version

N_CLIENTS = 4


@dataclass
class Traffic:
    """Clients that predict and label without pause, and what they were told."""

    address: str
    acknowledged_generation: int = 1
    may_fail: bool = False
    answers: dict[str, dict[str, object]] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """One client, until told to stop."""
        with httpx.Client(base_url=self.address, timeout=10) as client:
            while not self.stop.is_set():
                name = uuid4().hex
                least = self.acknowledged_generation
                answer = self._ask(client, "/predict", {"features": [1], "prediction_id": name})
                if answer is None:
                    continue
                version = int(str(answer["model_version"]))
                if version < least or answer["prediction"] != version:
                    self.complaints.append(f"{answer} after generation {least}")
                self.answers[name] = answer
                if self._ask(client, "/feedback", {"prediction_id": name, "actual": 1.0}):
                    self.labels.add(name)

    def _ask(
        self, client: httpx.Client, path: str, body: dict[str, object]
    ) -> dict[str, object] | None:
        """The answer; asked again, with the same id, as long as the server is being killed."""
        while not self.stop.is_set():
            try:
                answer = client.post(path, json=body)
            except httpx.TransportError as error:
                if not self.may_fail:
                    self.complaints.append(f"{path}: {type(error).__name__}")
                self.stop.wait(0.05)
                continue
            if answer.status_code == 200:
                document: dict[str, object] = answer.json()
                return document
            self.complaints.append(f"{path}: {answer.status_code} {answer.text}")
        return None


@contextmanager
def serving(settings: Settings, workers: int) -> Iterator[ServerProcess]:
    """A server process that answers with version 1."""
    settings.home.mkdir()
    promote_version(settings.store, 1)
    process = ServerProcess(settings.home, free_port(), workers)
    try:
        wait_until(lambda: len(acknowledgements(settings.store, "demo")) == workers)
        wait_until(process.answers)
        yield process
    finally:
        process.kill()


@contextmanager
def under(traffic: Traffic) -> Iterator[None]:
    """While several clients ask."""
    clients = [threading.Thread(target=traffic.run) for _ in range(N_CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        traffic.stop.set()
        for client in clients:
            client.join()


def swap(settings: Settings, traffic: Traffic, generation: int) -> None:
    """Promote, and wait as a promoter does until every live server follows."""
    promote_version(settings.store, generation)

    def all_follow() -> bool:
        words = acknowledgements(settings.store, "demo")
        return bool(words) and all(word.serving_generation >= generation for word in words)

    wait_until(all_follow)
    traffic.acknowledged_generation = generation


def check_sql(engine: Engine, traffic: Traffic) -> None:
    """Every acknowledged answer and label is there once, as it was told."""
    with reading(engine) as connection:
        rows = connection.execute(select(predictions.c.prediction_id, predictions.c.answer)).all()
        labels = list(connection.execute(select(feedback.c.prediction_id)).scalars())
    assert len(rows) == len({row.prediction_id for row in rows})
    assert len(labels) == len(set(labels))
    kept = {row.prediction_id: row.answer for row in rows}
    assert {name: kept.get(name) for name in traffic.answers} == traffic.answers
    assert traffic.labels <= set(labels)


def strike(server: ServerProcess, traffic: Traffic, chance: random.Random) -> None:
    """SIGKILL after some more answers for one worker, or the whole server, started again then."""
    goal = len(traffic.answers) + chance.randint(50, 200)
    wait_until(lambda: len(traffic.answers) >= goal, 60)
    workers = server.worker_ids()
    if workers and chance.random() < 0.7:
        os.kill(chance.choice(workers), signal.SIGKILL)
        return
    server.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 30)
    server.start()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "n_swaps", "n_kills"),
    [
        (1, 10, 3),
        (3, 10, 3),
        pytest.param(1, 50, 20, marks=pytest.mark.long),
        pytest.param(3, 50, 20, marks=pytest.mark.long),
    ],
)
def test_swaps_and_kills_lose_double_and_mistake_nothing(
    settings: Settings, workers: int, n_swaps: int, n_kills: int
) -> None:
    chance = random.Random(workers)
    with serving(settings, workers) as server:
        traffic = Traffic(server.address)
        with under(traffic):
            for generation in range(2, 2 + n_swaps):
                swap(settings, traffic, generation)
            assert traffic.complaints == []
            traffic.may_fail = True
            for kill in range(n_kills):
                strike(server, traffic, chance)
                swap(settings, traffic, 2 + n_swaps + kill)
        assert traffic.complaints == []
        # What the dead left has been adopted when only the living keep a journal.
        wait_until(lambda: len(list((settings.home / "journal").glob("[!.]*"))) == workers, 30)
        assert server.stop() == 0
    assert len(traffic.answers) >= 50 * n_kills
    engine = open_engine(settings.sql_url)
    check_sql(engine, traffic)
    engine.dispose()


@dataclass(frozen=True)
class Settled:
    """Who answers once all servers follow: a champion, and a candidate for its share."""

    champion: int
    candidate: int = 0
    share: float = 0.0

    def version(self, key: str) -> int:
        """The version whose answer a key gets."""
        return self.candidate if self.is_chosen(key) else self.champion

    def is_chosen(self, key: str) -> bool:
        """Whether the candidate answers a key."""
        return position("demo", str(self.candidate), key) < self.share


@dataclass
class CanaryTraffic(Traffic):
    """Clients with keys, who know which version must answer while nothing moves."""

    settled: Settled | None = None
    n_judged: int = 0

    def run(self) -> None:
        """One client, until told to stop."""
        with httpx.Client(base_url=self.address, timeout=10) as client:
            while not self.stop.is_set():
                key, before = uuid4().hex, self.settled
                answer = self._ask(client, "/predict", {"features": [1], "key": key})
                if answer is None:
                    continue
                version = int(str(answer["model_version"]))
                if answer["prediction"] != version:
                    self.complaints.append(f"{answer} is not of version {version}")
                if before is not None and before is self.settled:
                    self.n_judged += 1
                    if version != before.version(key):
                        self.complaints.append(f"{key}: {answer} while {before}")
                self.answers[str(answer["prediction_id"])] = answer


def settle(settings: Settings, traffic: CanaryTraffic, generation: int, settled: Settled) -> None:
    """Wait until all servers follow, then until some were asked."""

    def all_follow() -> bool:
        words = acknowledgements(settings.store, "demo")
        return bool(words) and all(word.serving_generation >= generation for word in words)

    wait_until(all_follow)
    traffic.settled = settled
    n_before = traffic.n_judged
    wait_until(lambda: traffic.n_judged > n_before + 8)
    traffic.settled = None


@pytest.mark.slow
@pytest.mark.parametrize("workers", [3, pytest.param(1, marks=pytest.mark.long)])
def test_canaries_that_come_and_go_answer_their_share_and_nothing_else(
    settings: Settings, workers: int
) -> None:
    chance = random.Random(workers)
    with serving(settings, workers) as server:
        traffic = CanaryTraffic(server.address)
        with under(traffic):
            champion = 1
            for generation in range(2, 22, 2):
                candidate, share = champion + generation, chance.choice([0.1, 0.5, 1.0])
                stand_beside(settings.store, generation, candidate, share=share)
                settle(settings, traffic, generation, Settled(champion, candidate, share))
                champion = candidate if chance.random() < 0.5 else champion
                bundle = write_version(settings.store, champion)
                promote(settings.store, bundle, generation + 1, str(champion))
                settle(settings, traffic, generation + 1, Settled(champion))
        assert traffic.complaints == []
        assert server.stop() == 0
    engine = open_engine(settings.sql_url)
    check_sql(engine, traffic)
    engine.dispose()
