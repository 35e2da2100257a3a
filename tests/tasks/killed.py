"""A turn of the loop that is killed at a chosen moment: `python -m tests.tasks.killed HOME POINT…`.

Imports everything once and forks a child per home, since imports take most of the time.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.factories import small_settings, tick

# Module, function, and whether it dies after the call rather than before it.
POINTS = {
    "rows appended, not noted": ("tasks.batch", "append_batch", True),
    "version begun": ("tasks.training", "load_champion", False),
    "bundle written": ("tasks.training", "write_bundle", True),
    "candidate trained": ("flows.retrain", "judge_candidate", False),
    "gate passed": ("tasks.gate", "show_verdict", False),
    "release begun": ("tasks.release", "carry_out", False),
    "act written, pointer not moved": ("storage.releases", "move_pointer", False),
    "pointer moved": ("tasks.release", "wait_for_servers", False),
    "servers follow, not crowned": ("tasks.release", "crown", False),
    "crowned, not recorded": ("flows.continual", "record_versions", False),
}


def arm(point: str) -> None:
    """Make this process die, as `kill -9` ends it, when it reaches a point."""
    module, name, after = POINTS[point]
    owner = importlib.import_module(module)
    works: Callable[..., Any] = getattr(owner, name)

    def die(*arguments: Any, **options: Any) -> None:
        if after:
            works(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, die)


def main(folder: Path, row: int) -> int:
    """Kill one turn in each home ``folder/0``, ``folder/1``, … at the point of that number."""
    for module in ("mlflow", "onnxruntime", "skl2onnx", "sklearn.linear_model"):
        importlib.import_module(module)  # what a turn imports late
    for place, point in enumerate(POINTS):
        child = os.fork()
        if not child:
            arm(point)
            tick(small_settings(folder / str(place)), row)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.stderr.write(f"was not killed: {point}\n")
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2])))
