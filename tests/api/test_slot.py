from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from api.session import load_model
from api.speed import refuse_slow
from settings import Settings
from storage.bundles import BundleError, write_bundle
from storage.manifest import Golden
from storage.pointers import (
    Acknowledgement,
    Former,
    Pointer,
    acknowledgements,
    move_pointer,
    pointer_path,
)
from tests.api.servers import Api, running, wait_until
from tests.factories_bundles import (
    array,
    constant_graph,
    graph_bytes,
    make_manifest,
    promote,
    promote_version,
    replace_manifest,
    write_version,
)

GOLDEN = Golden(inputs=((0.0,),), outputs=((2.0,),), tolerance=1e-6)


def word(api: Api, generation: int) -> Acknowledgement:
    """What the server says of a generation, once it has said it."""

    def said() -> Acknowledgement | None:
        words = acknowledgements(api.store, "demo")
        return next((word for word in words if word.generation == generation), None)

    found: Acknowledgement = wait_until(said)
    return found


def answered(api: Api) -> float:
    return float(api.predict(features=[1]).json()["prediction"])


def damaged(store: Path, change: Callable[[Path], object]) -> str:
    shutil.rmtree(store / "bundles" / "demo" / write_version(store, 2))  # damaged before
    name = write_version(store, 2)
    change(store / "bundles" / "demo" / name)
    return name


def flipped(folder: Path) -> None:
    content = bytearray((folder / "model.onnx").read_bytes())
    content[-20] ^= 1
    (folder / "model.onnx").write_bytes(content)


def with_model(store: Path, model: bytes, **changes: Any) -> str:
    manifest = make_manifest(model, changes.pop("golden", GOLDEN), version="2", **changes)
    return write_bundle(store, manifest, {"model.onnx": model})


def renamed(store: Path, **names: Any) -> str:
    node = [helper.make_node("Identity", [names.get("input_name", "input")], ["output"])]
    if "output_name" in names:
        node = [helper.make_node("Identity", ["input"], [names["output_name"]])]
    return with_model(store, graph_bytes(node, [], 1, 1, **names))


def wide(store: Path) -> str:
    nodes = [helper.make_node("Identity", ["input"], ["output"])]
    return with_model(store, graph_bytes(nodes, [], 2, 2))


def double(store: Path) -> str:
    nodes = [helper.make_node("Cast", ["input"], ["output"], to=TensorProto.FLOAT)]
    return with_model(store, graph_bytes(nodes, [], 1, 1, input_type=TensorProto.DOUBLE))


def two_columns(store: Path) -> str:
    nodes = [helper.make_node("Concat", ["input", "input"], ["output"], axis=1)]
    return with_model(store, graph_bytes(nodes, [], 1, 2))


def not_a_number(store: Path) -> str:
    nodes = [
        helper.make_node("Log", ["negative"], ["n"]),
        helper.make_node("Add", ["input", "n"], ["output"]),
    ]
    return with_model(store, graph_bytes(nodes, [array("negative", [-1.0])], 1, 1))


def custom_operator(store: Path) -> str:
    nodes = [helper.make_node("Backdoor", ["input"], ["output"], domain="evil")]
    return with_model(store, graph_bytes(nodes, [], 1, 1))


def slow(store: Path, version: int = 2) -> str:
    """A model that answers its version after multiplying large matrices in vain."""
    size = 700
    nodes = [
        helper.make_node("IsNaN", ["input"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "zero"], ["nothing"]),
        helper.make_node("MatMul", ["nothing", "wide"], ["h0"]),
        *(helper.make_node("MatMul", [f"h{i}", "square"], [f"h{i + 1}"]) for i in range(10)),
        helper.make_node("MatMul", ["h10", "narrow"], ["base"]),
        helper.make_node("Add", ["base", "value"], ["output"]),
    ]
    square = np.random.default_rng(0).normal(size=(size, size))
    constants = [
        array("zero", [[0.0]]),
        array("wide", np.ones((1, size))),
        array("square", square),
        array("narrow", np.ones((size, 1))),
        array("value", [float(version)]),
    ]
    model = graph_bytes(nodes, constants, 1, 1)
    golden = Golden(((0.0,),), ((float(version),),), 1e-6)
    manifest = make_manifest(model, golden, version=str(version))
    return write_bundle(store, manifest, {"model.onnx": model})


BAD: dict[str, tuple[str, Callable[[Path], str]]] = {
    "a folder elsewhere": ("pointer", lambda store: "../../../../etc"),
    "no folder": ("missing", lambda store: "0" * 64),
    "no model": ("truncated", lambda s: damaged(s, lambda f: (f / "model.onnx").unlink())),
    "no manifest": ("truncated", lambda s: damaged(s, lambda f: (f / "manifest.json").unlink())),
    "one bit flipped": ("sha256", lambda s: damaged(s, flipped)),
    "cut short": ("sha256", lambda s: damaged(s, lambda f: (f / "model.onnx").write_bytes(b"x"))),
    "extra file": ("sha256", lambda s: damaged(s, lambda f: (f / "more").write_bytes(b"x"))),
    "another version": ("manifest", lambda s: write_version(s, 9)),
    "another format": ("manifest", lambda s: replace_manifest(s, write_version(s, 2), format=2)),
    "no graph": ("load", lambda s: with_model(s, b"not a model")),
    "custom operator": ("load", custom_operator),
    "other input name": ("inputs", lambda s: renamed(s, input_name="X")),
    "other input width": ("inputs", wide),
    "other input type": ("inputs", double),
    "other output name": ("outputs", lambda s: renamed(s, output_name="Y")),
    "other output width": ("outputs", two_columns),
    "other answers": ("golden", lambda s: with_model(s, constant_graph(2.1))),
    "no golden rows": (
        "golden",
        lambda s: with_model(s, constant_graph(2.0), golden=Golden((), (), 1e-6)),
    ),
    "not finite": ("not_finite", not_a_number),
    "three times slower": ("slow", slow),
}


def test_a_promoted_model_answers_and_is_acknowledged(open_settings: Settings) -> None:
    promote_version(open_settings.store, 1)
    with running(open_settings) as api:
        assert word(api, 1).serving_generation == 1
        promote_version(api.store, 2)
        assert word(api, 2).serving_generation == 2
        assert answered(api) == 2.0
    assert acknowledgements(open_settings.store, "demo") == []


def test_the_first_model_is_taken_as_soon_as_it_appears(open_settings: Settings) -> None:
    with running(open_settings) as api:
        assert api.health()["status"] == "unavailable"
        refusal = api.predict(features=[1])
        assert (refusal.status_code, refusal.json()["code"]) == (503, "no_model")
        assert api.client.get("/health/ready").status_code == 503
        assert api.client.get("/health/live").status_code == 200
        promote_version(api.store, 1)
        word(api, 1)
        assert answered(api) == 1.0
        assert api.client.get("/health/ready").status_code == 200


def test_every_bad_bundle_is_refused_by_its_cause_while_the_old_model_answers(
    open_settings: Settings,
) -> None:
    promote_version(open_settings.store, 1)
    with running(open_settings) as api:
        for generation, (name, (code, make)) in enumerate(BAD.items(), start=2):
            promote(api.store, make(api.store), generation, "2")
            said = word(api, generation)
            assert (name, said.refused_code) == (name, code)
            assert said.refused_reason
            assert said.serving_generation == 1
            assert answered(api) == 1.0
        health = api.health()
        assert health["status"] == "degraded"
        assert "slow" in health["reasons"][0]
        text = api.client.get("/metrics").text
        assert 'perennial_refusals_total{code="golden"} 2.0' in text
        promote_version(api.store, 100)
        assert word(api, 100).refused_code is None
        wait_until(lambda: api.health()["status"] == "ok")


def test_a_generation_never_goes_back(open_settings: Settings) -> None:
    promote_version(open_settings.store, 5)
    with running(open_settings) as api:
        promote_version(api.store, 4)
        assert word(api, 4).refused_code == "generation"
        assert answered(api) == 5.0


def test_a_bundle_that_arrives_late_is_taken_by_itself(open_settings: Settings) -> None:
    promote_version(open_settings.store, 1)
    name = write_version(open_settings.store, 2)
    folder = open_settings.store / "bundles" / "demo" / name
    hidden = folder.rename(folder.with_name("later"))
    with running(open_settings) as api:
        promote(api.store, name, 2, "2")
        assert word(api, 2).refused_code == "missing"
        hidden.rename(folder)
        wait_until(lambda: answered(api) == 2.0)
        wait_until(lambda: word(api, 2).serving_generation == 2)


@pytest.mark.parametrize("is_gone", [True, False])
def test_without_a_readable_pointer_the_model_answers_on(
    open_settings: Settings, is_gone: bool
) -> None:
    promote_version(open_settings.store, 1)
    with running(open_settings) as api:
        path = pointer_path(api.store, "demo")
        path.unlink() if is_gone else path.write_text("{")
        wait_until(lambda: api.health()["status"] == "degraded")
        assert answered(api) == 1.0


def test_a_cold_start_with_a_bad_bundle_serves_the_last_good_one(open_settings: Settings) -> None:
    promote_version(open_settings.store, 1)
    with running(open_settings):
        pass
    promote(open_settings.store, damaged(open_settings.store, flipped), 2, "2")
    with running(open_settings) as api:
        assert answered(api) == 1.0
        said = word(api, 2)
        assert (said.serving_generation, said.refused_code) == (1, "sha256")
        health = api.health()
        assert health["status"] == "degraded"
        assert "sha256" in health["reasons"][0]
        assert health["model_version"] == "1"


def test_a_cold_start_without_a_pointer_serves_the_last_good_one(open_settings: Settings) -> None:
    promote_version(open_settings.store, 1)
    with running(open_settings):
        pass
    pointer_path(open_settings.store, "demo").unlink()
    with running(open_settings) as api:
        assert answered(api) == 1.0
        assert api.health()["status"] == "degraded"


def test_a_slow_model_may_come_back_or_be_the_first(open_settings: Settings) -> None:
    store = open_settings.store
    name = slow(store)
    promote(store, name, 1, "2")
    with running(open_settings) as api:
        assert answered(api) == 2.0
        promote_version(store, 3)
        assert word(api, 3).serving_generation == 3
        back = Pointer("demo", 4, "2", name, datetime.now(UTC), former=(Former("2", name),))
        move_pointer(store, back)
        assert word(api, 4).serving_generation == 4
        assert answered(api) == 2.0


def test_a_model_as_fast_as_the_served_one_is_never_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.speed.NOTICED_SECONDS", 0.0)  # else nothing this small is slow
    model = load_model(tmp_path, promote_version(tmp_path, 1))
    refusals = []
    for _ in range(20):
        try:
            refuse_slow(model, model)
        except BundleError as refusal:
            refusals.append(str(refusal))
    assert refusals == []


def test_noise_in_one_attempt_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(tmp_path, promote_version(tmp_path, 1))
    timings = iter([(0.004, 0.001), (0.004, 0.001), (0.0029, 0.001)])
    monkeypatch.setattr("api.speed.compare", lambda *_: next(timings))
    refuse_slow(model, model)
    assert next(timings, None) is None
    timings = iter([(0.0031, 0.001)] * 3)
    with pytest.raises(BundleError, match=r"3\.10 ms, with the served model 1\.00 ms") as refusal:
        refuse_slow(model, model)
    assert refusal.value.code == "slow"


def test_a_live_servers_word_stays_fresh(open_settings: Settings) -> None:
    promote_version(open_settings.store, 1)
    with running(open_settings) as api:
        (path,) = (api.store / "servers" / "demo").glob("*.json")
        before = path.stat().st_mtime
        wait_until(lambda: path.stat().st_mtime > before)
        assert [found.generation for found in acknowledgements(api.store, "demo")] == [1]
    assert acknowledgements(open_settings.store, "demo") == []
