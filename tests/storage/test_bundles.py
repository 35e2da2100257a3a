"""Model bundles: whole or not there, and refused by a named cause."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from storage import bundles
from storage.bundles import BundleError, bundle_folder, read_bundle, write_atomically, write_bundle
from storage.manifest import Golden
from tests.factories_bundles import constant_graph, make_manifest, replace_manifest, write_version


class PowerCutError(BaseException):
    """Ends a write as abruptly as Python can."""


def refusal(store: Path, name: str, problem: str = "demo") -> str:
    """The code that a bundle is refused with."""
    with pytest.raises(BundleError) as caught:
        read_bundle(store, problem, name)
    return caught.value.code


def test_a_bundle_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    name = write_version(tmp_path, 3)
    bundle = read_bundle(tmp_path, "demo", name)
    assert (bundle.name, bundle.manifest.version) == (name, "3")
    assert bundle.model == constant_graph(3.0)


def test_the_same_content_gets_the_same_name_and_other_content_another(tmp_path: Path) -> None:
    names = [write_version(tmp_path, version) for version in (1, 1, 2)]
    assert names[0] == names[1] != names[2]
    assert len(list((tmp_path / "bundles" / "demo").iterdir())) == 2


@pytest.mark.parametrize(
    ("file", "code"),
    [("model.onnx", "truncated"), ("manifest.json", "truncated"), (None, "missing")],
)
def test_what_is_not_there_is_named(tmp_path: Path, file: str | None, code: str) -> None:
    name = write_version(tmp_path, 1)
    folder = bundle_folder(tmp_path, "demo", name)
    if file is None:
        shutil.rmtree(folder)
    else:
        (folder / file).unlink()
    assert refusal(tmp_path, name) == code


@pytest.mark.parametrize("file", ["model.onnx", "manifest.json"])
def test_one_flipped_bit_is_noticed(tmp_path: Path, file: str) -> None:
    name = write_version(tmp_path, 1)
    path = bundle_folder(tmp_path, "demo", name) / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert refusal(tmp_path, name) == "sha256"


def test_a_file_that_cannot_be_read_is_a_refusal_and_no_crash(tmp_path: Path) -> None:
    name = write_version(tmp_path, 1)
    path = bundle_folder(tmp_path, "demo", name) / "model.onnx"
    path.unlink()
    path.mkdir()
    assert refusal(tmp_path, name) == "unreadable"


def test_a_bundle_of_another_problem_or_format_is_refused(tmp_path: Path) -> None:
    name = write_version(tmp_path, 1)
    other = bundle_folder(tmp_path, "other", name)
    shutil.copytree(bundle_folder(tmp_path, "demo", name), other)
    assert refusal(tmp_path, name, "other") == "manifest"
    assert refusal(tmp_path, replace_manifest(tmp_path, name, format=99)) == "manifest"


def test_a_graph_that_the_manifest_does_not_describe_is_refused(tmp_path: Path) -> None:
    manifest = make_manifest(constant_graph(1.0), Golden((), (), 0.0))
    name = write_bundle(tmp_path, manifest, {"model.onnx": constant_graph(2.0)})
    assert refusal(tmp_path, name) == "sha256"


def test_a_manifest_that_is_no_json_is_refused_by_name(tmp_path: Path) -> None:
    model, manifest = constant_graph(1.0), b"{"
    name = bundles.bundle_name(manifest, {"model.onnx": model})
    folder = bundle_folder(tmp_path, "demo", name)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(manifest)
    (folder / "model.onnx").write_bytes(model)
    assert refusal(tmp_path, name) == "manifest"


@pytest.mark.parametrize("n_files", [0, 1, 2])
def test_a_crash_while_writing_leaves_no_torn_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_files: int
) -> None:
    written: list[Path] = []
    write = bundles._write_durably

    def write_some(path: Path, content: bytes) -> None:
        if len(written) == n_files:
            raise PowerCutError
        written.append(path)
        write(path, content)

    monkeypatch.setattr(bundles, "_write_durably", write_some)
    if n_files < 2:
        with pytest.raises(PowerCutError):
            write_version(tmp_path, 1)
        assert list((tmp_path / "bundles" / "demo").iterdir()) == []
    monkeypatch.undo()
    assert read_bundle(tmp_path, "demo", write_version(tmp_path, 1)).manifest.version == "1"


def test_a_damaged_bundle_is_replaced_when_it_is_written_again(tmp_path: Path) -> None:
    name = write_version(tmp_path, 1)
    (bundle_folder(tmp_path, "demo", name) / "model.onnx").write_bytes(b"torn")
    assert write_version(tmp_path, 1) == name
    assert read_bundle(tmp_path, "demo", name).model == constant_graph(1.0)


def test_replacing_a_file_leaves_the_old_content_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "pointer.json"
    write_atomically(path, b"old")

    def cut(_self: Path, _target: Path) -> None:
        raise PowerCutError

    monkeypatch.setattr(Path, "replace", cut)
    with pytest.raises(PowerCutError):
        write_atomically(path, b"new")
    assert [file.name for file in path.parent.iterdir()] == ["pointer.json"]
    assert path.read_bytes() == b"old"
    monkeypatch.undo()
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
