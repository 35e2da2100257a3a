"""`perennial serve --bundle`: one given bundle, whatever the store holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from api.fixed import fix_bundle
from api.serve import ServeError, fixed_settings
from settings import Settings
from storage.bundles import bundle_folder
from storage.pointers import read_pointer
from tests.api.servers import CHECKOUT, free_port, running, wait_until
from tests.factories_bundles import promote_version, write_version


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The folder of a bundle that answers 7, with a blank in its path."""
    store = tmp_path / "given bundles"
    return bundle_folder(store, "demo", write_version(store, 7))


@pytest.mark.parametrize("is_url", [False, True])
def test_a_folder_or_its_address_is_served_whatever_was_promoted(
    open_settings: Settings, bundle: Path, is_url: bool
) -> None:
    promote_version(open_settings.store, 2)
    settings, problem = fix_bundle(open_settings, bundle.as_uri() if is_url else str(bundle))
    assert problem == "demo"
    with running(settings, problem) as api:
        answer = api.predict(features=[1]).json()
        assert (answer["prediction"], answer["model_version"]) == (7.0, "7")
        promote_version(open_settings.store, 3)
        assert api.client.get("/model/info").json()["version"] == "7"
    promoted = read_pointer(open_settings.store, "demo")
    assert promoted is not None
    assert promoted.version == "3"


def test_the_same_bundle_can_be_served_again(open_settings: Settings, bundle: Path) -> None:
    first, _ = fix_bundle(open_settings, str(bundle))
    again, _ = fix_bundle(open_settings, str(bundle))
    assert first.store == again.store
    with running(again) as api:
        assert api.predict(features=[1]).json()["prediction"] == 7.0


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda folder: _flip(folder / "model.onnx"), "its content has another hash"),
        (lambda folder: (folder / "model.onnx").unlink(), "'model.onnx' is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "found no bundle"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "found no bundle"),
    ],
)
def test_a_broken_bundle_is_refused_with_what_is_wrong(
    settings: Settings, bundle: Path, harm: object, sentence: str
) -> None:
    assert callable(harm)
    harm(bundle)
    with pytest.raises(ServeError, match=sentence) as refusal:
        fixed_settings(settings, str(bundle))
    assert str(refusal.value).startswith(f"--bundle {bundle}: ")


def test_addresses_of_other_kinds_are_refused(settings: Settings) -> None:
    with pytest.raises(ServeError, match="expected a folder or a file:// URL"):
        fixed_settings(settings, "s3://models/churn/7")


@pytest.mark.slow
def test_the_command_serves_it(bundle: Path, tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "entry", "serve", "--bundle", bundle.as_uri(), "--port", str(port)],
        cwd=CHECKOUT,
        env={
            "PATH": "/usr/bin:/bin",
            "PERENNIAL_HOME": str(tmp_path / "home"),
            "PERENNIAL_API_INSECURE": "true",
        },
        stderr=subprocess.DEVNULL,
    )

    def answered() -> object:
        assert process.poll() is None
        try:
            answer = httpx.post(f"http://127.0.0.1:{port}/predict", json={"features": [1]})
        except httpx.TransportError:
            return None
        return answer.json()["prediction"]

    try:
        assert wait_until(answered, 90) == 7.0
    finally:
        process.terminate()
        assert process.wait(20) == 0


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
