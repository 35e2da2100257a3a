"""Files of a source: which there are, which version, and where nothing may be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from learning.sources import FilesSource
from storage.source_errors import SourceDownError, SourceError
from storage.source_files import Files
from storage.source_folders import find_local, read_options, scheme_of
from storage.tabular import TableError


def files(url: str, root: Path, **fields: Any) -> Files:
    return Files(FilesSource.model_validate({"kind": "files", "url": url, **fields}), [root])


def test_files_that_match_are_found_in_order_and_read(tmp_path: Path) -> None:
    for name in ("b.csv", "a.jsonl", ".draft.csv", "note.txt", "deep/c.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    found = files("**/*", tmp_path)
    assert [one.name for one in found.found()] == ["a.jsonl", "b.csv", "c.parquet"]
    assert next(found.read(one) for one in found.found()) == b"a.jsonl"
    assert len(files(f"{tmp_path}/*.csv", tmp_path).found()) == 1
    assert files("none/*.csv", tmp_path).found() == []


def test_a_declared_format_takes_any_name(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_bytes(b"a\n1\n")
    found = files("*.txt", tmp_path, format="csv")
    assert found.table_name(found.found()[0]) == "rows.txt.csv"


def test_a_version_is_another_one_when_the_file_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a\n1\n")
    found = files("*.csv", tmp_path)
    (first,) = found.found()
    assert found.found() == [first]
    path.write_bytes(b"a\n1\n2\n")
    assert found.found()[0].version != first.version
    path.unlink()
    assert found.read(first) is None


def test_a_file_that_grows_while_it_is_read_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a\n1\n")
    found = files("*.csv", tmp_path)
    reads = Files._bytes

    def grow(self: Files, name: str, limit: int) -> bytes:
        content = reads(self, name, limit)
        path.write_bytes(content + b"2\n")
        return content

    monkeypatch.setattr(Files, "_bytes", grow)
    assert found.read(found.found()[0]) is None


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a" * (1024 * 1024 + 1))
    found = files("*.csv", tmp_path, max_mb=1)
    with pytest.raises(TableError, match="found 1,048,577 bytes; at most 1 MB"):
        found.read(found.found()[0])


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the root, with a secret, and links to it from within the root."""
    root = tmp_path / "root"
    root.mkdir()
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "a.csv").write_text("a\n1\n")
    (root / "link").symlink_to(secret)
    (root / "file.csv").symlink_to(secret / "a.csv")
    return root


@pytest.mark.parametrize(
    "pattern", ["../secret/*.csv", "link/*.csv", "file.csv", "*/../../secret/a.csv", "/etc/*.csv"]
)
def test_nothing_outside_of_the_roots_is_read(outside: Path, pattern: str) -> None:
    with pytest.raises(SourceError, match="PERENNIAL_SOURCE_ROOTS"):
        find_local(pattern, [outside])
    with pytest.raises(SourceError, match="leads out of the folders"):
        find_local(f"file://{outside.parent}/secret/*.csv", [outside])


@pytest.mark.parametrize(
    "url",
    ["http://a/b.csv", "https://a/b", "zip://x.csv::s3://b/x.zip", "simplecache::s3://b/x",
     "s3://a::file:///etc/passwd", "git://x", "reference://", "github://o:r@/x", "data://x"],
)  # fmt: skip
def test_addresses_that_go_round_the_rules_are_refused(url: str) -> None:
    with pytest.raises(SourceError) as found:
        scheme_of(url)
    assert found.value.code == "scheme"


def test_a_remote_file_system_is_read_like_the_disk(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/rows/a.csv", b"a\n1\n")
    found = files("memory://bucket/rows/*.csv", tmp_path)
    (file,) = found.found()
    assert (file.name, file.size, found.read(file)) == ("a.csv", 4, b"a\n1\n")
    memory.pipe("/bucket/rows/a.csv", b"a\n2\n")
    assert found.found()[0].version != file.version
    memory.rm("/bucket", recursive=True)
    assert found.found() == []


def test_a_file_system_that_fails_is_worth_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no credentials")

    found = files("memory://bucket/*.csv", tmp_path)
    monkeypatch.setattr(MemoryFileSystem, "glob", broken)
    with pytest.raises(SourceDownError, match="RuntimeError: no credentials"):
        found.found()


def test_a_driver_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="uv sync --group clouds") as found:
        files("gs://bucket/*.csv", tmp_path)
    assert found.value.code == "driver"


def test_options_are_an_object_in_a_variable() -> None:
    assert read_options(None, None) == {}
    assert read_options("S3", '{"key": "a"}') == {"key": "a"}
    with pytest.raises(SourceError, match="S3 is not set"):
        read_options("S3", None)
    with pytest.raises(SourceError, match="S3: found no JSON object") as found:
        read_options("S3", "hidden")
    assert "hidden" not in str(found.value)
