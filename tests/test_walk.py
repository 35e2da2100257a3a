"""What a newcomer types, word for word as the quick start and the README say it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from settings import CHECKOUT
from tests.api.servers import wait_until
from tests.walk import Walk, newcomer


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    """A newcomer in a fresh copy of this checkout."""
    ready = subprocess.run(["make", "-q", "setup"], cwd=CHECKOUT, capture_output=True, check=False)
    if ready.returncode != 0:
        pytest.skip(".venv is older than uv.lock: run `make setup` first")
    with newcomer(tmp_path) as walk:
        yield walk


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_quick_start_leads_to_an_answer_and_why(walk: Walk) -> None:
    walk.take(CHECKOUT / "docs" / "quick-start.md")
    for words in ("written to", "outcome: promoted", "version 1", "decided by"):
        assert words in walk.told
    assert '"prediction":"yes"' in walk.told
    assert '{"accepted":1,"duplicates":0,"errors":[]}' in walk.told
    assert "(base value)" in walk.told
    assert (walk.folder / "problems" / "customers.yaml").exists()
    assert (walk.folder / ".perennial" / "store").is_dir()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_readme_leads_to_a_stack_that_trains_by_itself_and_leaves_nothing(walk: Walk) -> None:
    walk.take(CHECKOUT / "README.md", "Your own data")

    def answers() -> bool:
        return httpx.get(f"{walk.address('api')}/health").json()["model_version"] is not None

    wait_until(answers, seconds=120, every=0.5)
    walk.run(".venv/bin/perennial status --json")
    (problem,) = json.loads(walk.told.splitlines()[-1])["problems"]
    assert problem["champion"]["version"] == 1
    assert "streamlit" in httpx.get(walk.address("ui")).text.lower()
    prefect, mlflow = walk.address("prefect"), walk.address("mlflow")
    assert httpx.get(f"{prefect}/").text.startswith("<!")
    found = httpx.post(f"{prefect}/api/deployments/filter", json={}).json()
    listed = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())["deployments"]
    assert {each["name"] for each in found} == {each["name"] for each in listed}
    stored = httpx.put(f"{mlflow}/api/2.0/mlflow-artifacts/artifacts/note.txt", content=b"kept")
    assert stored.status_code == 200
    home = walk.folder / ".perennial"
    assert (home / "mlflow-artifacts" / "note.txt").read_bytes() == b"kept"
    for part in ("api", "ui", "prefect", "mlflow"):
        assert walk.address(part) in walk.log
    assert f" {home / 'logs'} " in walk.log  # unbroken, for this is a file

    (up,) = walk.servers
    children = descendants(up.pid)
    assert len(children) >= 7  # Prefect, MLflow, API, status page, worker with its two helpers
    assert walk.press_ctrl_c(up) == -signal.SIGINT  # make's own way to say so
    assert walk.log.rstrip().endswith("Stopped.")
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
    assert not (walk.folder / "person" / ".prefect").exists()


def descendants(pid: int) -> list[int]:
    """Process ids of all children, and theirs."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found += [int(stat.parent.name), *descendants(int(stat.parent.name))]
    return found
