"""Client applications of the demo: predictions and late feedback over real HTTP."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from operate.demo_data import Story

N_CLIENTS = 4
FEEDBACK_ITEMS = 200
TIMEOUT_SECONDS = 30.0
IDLE_SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """What came back for one row; times are wall-clock seconds."""

    index: int
    started: float
    ended: float
    status: int
    version: str | None
    body: dict[str, Any]


class Traffic:
    """Sends rows up to a limit that moves on, at no more than a rate, and labels behind them."""

    def __init__(self, story: Story, port: int, token: str) -> None:
        self.story = story
        self.answers: dict[int, Answer] = {}
        self.feedback_failures: list[str] = []
        self.n_fed_back = 0
        self._port, self._token = port, token
        self._next = story.n_first
        self._limit = story.n_first
        self._rate: float | None = None
        self._turn = threading.Condition()
        self._next_slot = 0.0
        self._is_stopping = False
        self._n_failed = 0
        self._newest_version: str | None = None
        self._threads = [
            threading.Thread(target=self._predict_until_stopped, daemon=True)
            for _ in range(N_CLIENTS)
        ]
        self._threads.append(threading.Thread(target=self._feed_back_until_stopped, daemon=True))

    def start(self) -> None:
        """Start the clients; nothing is sent before `allow`."""
        for thread in self._threads:
            thread.start()

    def allow(self, limit: int, rate: float | None) -> None:
        """Send rows up to ``limit``, at ``rate`` requests a second at the most."""
        with self._turn:
            self._limit = min(limit, len(self.story))
            self._rate = rate
            self._turn.notify_all()

    @property
    def n_sent(self) -> int:
        """Index behind the newest row that was answered (in any way)."""
        return self.story.n_first + len(self.answers)

    def seen(self) -> tuple[str | None, int]:
        """Version of the newest answer (None before any), and how many answers were failures."""
        with self._turn:
            return self._newest_version, self._n_failed

    def wait_for(self, limit: int) -> None:
        """Wait until all rows below ``limit`` are answered and their due labels are sent."""
        limit = min(limit, len(self.story))
        due = max(self.story.n_first, limit - self.story.delay_rows)
        with self._turn:
            while self.n_sent < limit or self.n_fed_back + self.story.n_first < due:
                if not any(thread.is_alive() for thread in self._threads[:N_CLIENTS]):
                    return
                self._turn.wait(0.2)

    def stop(self) -> None:
        """End all clients."""
        with self._turn:
            self._is_stopping = True
            self._turn.notify_all()
        for thread in self._threads:
            thread.join(TIMEOUT_SECONDS)

    def _take(self) -> int | None:
        with self._turn:
            while True:
                if self._is_stopping:
                    return None
                now = time.monotonic()
                if self._next >= self._limit:
                    self._turn.wait(1.0)
                elif self._rate and now < self._next_slot:
                    self._turn.wait(self._next_slot - now)
                else:
                    if self._rate:
                        self._next_slot = max(now, self._next_slot) + 1 / self._rate
                    self._next += 1
                    return self._next - 1

    def _predict_until_stopped(self) -> None:
        connection = self._connection()
        last_used = time.monotonic()
        while (index := self._take()) is not None:
            content = json.dumps(self.story.request(index)).encode()
            if time.monotonic() - last_used > IDLE_SECONDS:
                connection.close()  # a server closes what is idle; it opens again by itself
            last_used = time.monotonic()
            started = time.time()
            try:
                status, body = self._post(connection, "/predict", content)
            except (OSError, http.client.HTTPException, ValueError) as error:
                connection.close()
                status, body = 0, {"code": type(error).__name__}
            version = body.get("model_version")
            answer = Answer(index, started, time.time(), status, version, body)
            with self._turn:
                self.answers[index] = answer
                self._n_failed += status != 200
                self._newest_version = version or self._newest_version
                self._turn.notify_all()
        connection.close()

    def _feed_back_until_stopped(self) -> None:
        connection = self._connection()
        last_used = time.monotonic()
        sent = self.story.n_first
        while True:
            with self._turn:
                due = self._next_due(sent)
                if due == sent:
                    if self._is_stopping:
                        break
                    self._turn.wait(0.5)
                    continue
            if time.monotonic() - last_used > IDLE_SECONDS:
                connection.close()
            last_used = time.monotonic()
            self._send_labels(connection, range(sent, due))
            sent = due
            with self._turn:
                self.n_fed_back = sent - self.story.n_first
                self._turn.notify_all()
        connection.close()

    def _next_due(self, sent: int) -> int:
        due = sent
        newest = self._next - self.story.delay_rows
        while due < newest and due in self.answers and due - sent < FEEDBACK_ITEMS:
            due += 1
        return due

    def _send_labels(self, connection: http.client.HTTPConnection, indexes: range) -> None:
        items = [
            {
                "prediction_id": self.answers[index].body["prediction_id"],
                "actual": self.story.actual(index),
            }
            for index in indexes
            if self.answers[index].status == 200
        ]
        if not items:
            return
        try:
            status, body = self._post(
                connection, "/feedback", json.dumps({"items": items}).encode()
            )
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            status, body = 0, {"code": type(error).__name__}
        if status != 200:
            self.feedback_failures.append(f"{status} {body.get('code', '')}")

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_SECONDS)

    def _post(
        self, connection: http.client.HTTPConnection, path: str, content: bytes
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        connection.request("POST", path, content, headers)
        response = connection.getresponse()
        body: dict[str, Any] = json.loads(response.read())
        return response.status, body
