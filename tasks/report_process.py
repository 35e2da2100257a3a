"""A process that draws documents, so that a hang or a crash of theirs is none of the loop's.

It is told a file of numbers on its standard input and answers with a line when the document
stands beside it. It stays for the next one, since importing Evidently takes longer than drawing.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from learning.drift_report import Answers, render_report
from learning.problem import Feature
from learning.rows import Matrix

# Evidently takes 7 s to import and up to 10 s to draw; a busy machine makes both longer.
TIMEOUT_SECONDS = 90.0
IDLE_SECONDS = 300
CHECKOUT = Path(__file__).resolve().parents[1]


class ReportError(Exception):
    """The document was not drawn; the message says what the process said, or that it hung."""


@dataclass(frozen=True)
class Request:
    """What a document shows."""

    reference: Matrix
    current: Matrix
    features: tuple[Feature, ...]
    alpha: float
    share: float
    answers: Answers | None = None


def write_request(path: Path, request: Request) -> None:
    """Keep a request as plain numbers and JSON: nothing is pickled."""
    answers = request.answers
    head: dict[str, Any] = {
        "features": [feature.model_dump(mode="json") for feature in request.features],
        "alpha": request.alpha,
        "share": request.share,
    }
    arrays: dict[str, Any] = {"reference": request.reference, "current": request.current}
    if answers is not None:
        head["answers"] = [answers.task, answers.classes, answers.threshold]
        arrays |= {"y": answers.y, "output": answers.output}
    with path.open("wb") as file:
        np.savez(file, head=np.array(json.dumps(head)), **arrays)


def read_request(path: Path) -> Request:
    """A request as it was kept."""
    with np.load(path, allow_pickle=False) as kept:
        head = json.loads(str(kept["head"]))
        answers = None
        if "answers" in head:
            task, classes, threshold = head["answers"]
            answers = Answers(task, tuple(classes), kept["y"], kept["output"], threshold)
        return Request(
            kept["reference"],
            kept["current"],
            tuple(Feature(**feature) for feature in head["features"]),
            head["alpha"],
            head["share"],
            answers,
        )


class Drawer:
    """Starts the process when it is needed, and ends it when it does not answer in time."""

    def __init__(self, command: tuple[str, ...] = (sys.executable, "-m", __name__)) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def draw(self, request: Request, timeout_seconds: float) -> str | None:
        """The document, None when nothing can be shown.

        Raises ReportError when the process says why not, dies, or takes longer.
        """
        with self._lock, tempfile.TemporaryDirectory(prefix="perennial-report-") as folder:
            path = Path(folder) / "request.npz"
            write_request(path, request)
            answer = self._ask(f"{int(timeout_seconds) + 1} {path}\n", timeout_seconds)
            if answer == "nothing":
                return None
            if answer != "drawn":
                raise ReportError(answer or "the process that draws it ended")
            return path.with_suffix(".html").read_text(encoding="utf-8")

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def _ask(self, line: str, timeout_seconds: float) -> str:
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            self._process = self._start()
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(line)
            stdin.flush()
            ready, _, _ = select.select([stdout], [], [], timeout_seconds)
        except OSError as error:
            self.close()
            raise ReportError(f"the process that draws it is gone: {error.strerror}") from error
        if not ready:
            self.close()
            raise ReportError(f"not drawn within {timeout_seconds:g} s; its process was ended")
        return stdout.readline().strip()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=CHECKOUT,
        )


def draw(request: Request, timeout_seconds: float = TIMEOUT_SECONDS) -> str | None:
    """The document, drawn by this process's helper. Raises ReportError."""
    return _DRAWER.draw(request, timeout_seconds)


_DRAWER = Drawer()
atexit.register(_DRAWER.close)


def main() -> None:
    """Draw what is asked for, until nobody asks any more."""
    import signal

    os.nice(10)  # people and the loop go first
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print; only our word may reach the loop
    while select.select([sys.stdin], [], [], IDLE_SECONDS)[0]:
        line = sys.stdin.readline()
        if not line:
            return
        seconds, _, name = line.strip().partition(" ")
        # Should the loop die meanwhile, nobody else would end a hang.
        signal.alarm(int(seconds))
        print(_draw(Path(name)), file=said, flush=True)
        signal.alarm(0)


def _draw(path: Path) -> str:
    try:
        asked = read_request(path)
        html = render_report(
            asked.reference,
            asked.current,
            asked.features,
            asked.alpha,
            asked.share,
            answers=asked.answers,
        )
        if html is None:
            return "nothing"
        path.with_suffix(".html").write_text(html, encoding="utf-8")
        return "drawn"
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


if __name__ == "__main__":
    main()
