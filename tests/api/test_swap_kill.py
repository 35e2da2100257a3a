"""A server that dies in the middle of a swap: started again, it answers with the new model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.metrics import Metrics
from api.slot import Slot
from storage import kill_points
from storage.pointers import acknowledgements, read_pointer
from tests.api.servers import ServerProcess, free_port, wait_until
from tests.factories_bundles import promote_version
from tests.tasks.conftest import PowerCutError
from tests.tasks.killed import IN_SERVERS


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    kill_points.arm(None)


def cut() -> None:
    """Ends a swap as abruptly as Python can."""
    kill_points.arm(None)
    raise PowerCutError


@pytest.mark.parametrize("point", IN_SERVERS)
def test_a_swap_that_was_cut_is_done_at_the_next_start(tmp_path: Path, point: str) -> None:
    promote_version(tmp_path, 1)
    kill_points.arm(point, cut)
    with pytest.raises(PowerCutError):
        Slot(tmp_path, tmp_path / "memory", "demo", Metrics()).start()
    again = Slot(tmp_path, tmp_path / "memory", "demo", Metrics())
    again.start()
    try:
        assert again.model is not None
        assert again.model.manifest.version == "1"
        assert {word.refused_code for word in acknowledgements(tmp_path, "demo")} == {None}
    finally:
        again.stop()


@pytest.mark.long
@pytest.mark.parametrize("point", IN_SERVERS)
def test_a_server_killed_in_a_swap_answers_with_the_new_model(tmp_path: Path, point: str) -> None:
    store = tmp_path / "store"
    promote_version(store, 1)
    server = ServerProcess(tmp_path, free_port())
    try:
        wait_until(server.answers, 60)
        server.stop()
        promote_version(store, 2)
        dying = ServerProcess(tmp_path, server.port, PERENNIAL_KILL_AT=point)
        assert dying.process.wait(60) == -9
        server.start()
        wait_until(server.answers, 60)
        found = httpx.post(f"{server.address}/predict", json={"features": [1]}).json()
        pointer = read_pointer(store, "demo")
        assert pointer is not None
        assert found["model_version"] == pointer.version == "2"
    finally:
        server.kill()
