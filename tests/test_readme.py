"""What the documents name exists: commands, flags, make targets, settings, files, routes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

import cli
from api.app import create_app
from operate.serve_command import make_parser
from operate.stack_deploy import read_deployments
from settings import CHECKOUT, Settings

DOCUMENTS = sorted(
    [CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + list((CHECKOUT / "docs").rglob("*.md"))
)
# Named as what is to come, by the contract.
TO_COME = {"doctor", "explain"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Made at run time, or by the reader.
MADE = re.compile(
    r"^(\.venv|\.tools|\.perennial|\.env$|store/|journal/|training/|done/|refused/|inbox/"
    r"|data/$|prometheus\.yml$|make_dashboards\.py$|local\.yml$|model_card\.md$|problems/(NAME|customers)\.yaml|serving/|release:|file:)"
)
SUFFIXES = (".py", ".md", ".yaml", ".yml", ".toml", ".example", ".sql", ".Dockerfile")


@pytest.fixture(params=DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def document(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@cache
def commands() -> dict[str, Any]:
    """Every command of `perennial` by its words, as `token create`."""
    root = typer.main.get_command(cli.app)
    return {**dict(_below(root, ())), "serve": _served()}


def _served() -> Any:
    """`serve` has a parser of its own."""
    options = [SimpleNamespace(opts=action.option_strings) for action in make_parser()._actions]
    return SimpleNamespace(params=options)


def _below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(words), command
        return
    for name, child in children.items():
        yield from _below(child, (*words, name))


@cache
def groups() -> frozenset[str]:
    """First words of commands that have two, as `token`."""
    return frozenset(name.split()[0] for name in commands() if " " in name)


@cache
def make_targets() -> frozenset[str]:
    text = (CHECKOUT / "Makefile").read_text()
    return frozenset(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


@cache
def make_variables() -> frozenset[str]:
    text = (CHECKOUT / "Makefile").read_text()
    exported = re.search(r"^export (DATA .*)$", text, re.MULTILINE)
    assert exported is not None
    return frozenset(exported[1].split()) | {"ARGS"}


def code_spans(text: str) -> list[str]:
    """What stands between backticks outside code blocks."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def shell_lines(text: str) -> list[str]:
    """Commands of shell blocks, continued lines joined, comments and substitutions taken off."""
    lines = []
    for kind, block in FENCE.findall(text):
        if kind == "sh":
            lines += block.replace("\\\n", " ").splitlines()
    return [re.sub(r"^\w+=\$\((.*)\)$", r"\1", line) for line in lines]


def calls(text: str) -> list[list[str]]:
    """Each call of `perennial` or `make` in code, as words without the program's folder."""
    found = []
    for line in [*shell_lines(text), *code_spans(text)]:
        if not re.match(r"(\.venv/bin/)?(perennial|make)( |$)", line):
            continue
        words = shlex.split(line, comments=True)
        found.append([words[0].rpartition("/")[2], *words[1:]])
    return found


def test_the_documents_are_found() -> None:
    assert {"README.md", "operate.md", "decide.md", "architecture.md", "alerts.md"} <= {
        path.name for path in DOCUMENTS
    }


def test_every_command_and_flag_exists(document: Path) -> None:
    for program, *words in calls(document.read_text()):
        if program != "perennial" or not words or not re.match("[a-z]", words[0]):
            continue
        name = " ".join(words[:2]) if words[0] in groups() else words[0]
        if name in TO_COME and name not in commands():
            continue
        assert name in commands() or re.search(r"[/{]", name), f"{document.name}: {name}"
        for part in name.split("/"):  # `token create/list/revoke`
            command = commands().get(part) or commands().get(f"{words[0]} {part.split()[-1]}")
            assert command is not None, f"{document.name}: perennial {part}"
            known = {flag for param in command.params for flag in (*param.opts, "--help")}
            asked = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert asked <= known, f"{document.name}: perennial {name}: {asked - known}"


def test_every_flag_named_by_itself_exists(document: Path) -> None:
    known = {flag for command in commands().values() for p in command.params for flag in p.opts}
    named = {span.split()[0] for span in code_spans(document.read_text()) if span[:2] == "--"}
    assert named <= known, f"{document.name}: {named - known}"


def test_every_command_that_is_typed_parses() -> None:
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    lines = [line for line in shell_lines(text) if line.startswith(".venv/bin/perennial ")]
    runs = [shlex.split(line, comments=True)[1:] for line in lines]
    assert len(runs) > 5
    for words in runs:
        size = 2 if words[0] in groups() else 1
        command = commands()[" ".join(words[:size])]
        if words[0] == "serve":
            make_parser().parse_args(words[1:])
            continue
        command.make_context(words[size - 1], words[size:])  # raises for wrong usage


def test_every_make_target_and_variable_exists(document: Path) -> None:
    for program, *words in calls(document.read_text()):
        if program != "make":
            continue
        targets = [word for word in words if "=" not in word]
        names = {word.partition("=")[0] for word in words if "=" in word}
        assert set(targets) <= make_targets(), f"{document.name}: {targets}"
        assert names <= make_variables(), f"{document.name}: {names}"


def test_every_setting_exists(document: Path) -> None:
    known = set(re.findall(r"^#?([A-Z][A-Z_]+)=", (CHECKOUT / ".env.example").read_text(), re.M))
    named = set(
        re.findall(r"\b(?:PERENNIAL_[A-Z_]*[A-Z]|DISCORD_[A-Z_]+|POSTGRES_[A-Z_]+|PREFECT_API_URL)\b",
                   document.read_text())
    )  # fmt: skip
    assert named <= known, f"{document.name}: {named - known}"


def test_every_file_named_exists(document: Path) -> None:
    for span in code_spans(document.read_text()):
        path = span.rstrip("/")
        is_file = path.endswith(SUFFIXES) or (span.endswith("/") and "/" not in path[1:])
        if not is_file or MADE.match(span) or re.search(r"[ *{}$<>…]", span):
            continue
        places = (CHECKOUT / path, document.parent / path)
        assert any(place.exists() for place in places), f"{document.name}: {span}"


def test_every_link_leads_to_a_file(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_address_asked_by_curl_is_a_route() -> None:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    routes = {getattr(route, "path", "") for route in create_app(settings, ("demo",)).routes}
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    asked = set(re.findall(r"http://127\.0\.0\.1:8000(/[a-z/]+)", text))
    assert {"/predict", "/feedback", "/docs"} <= asked
    assert asked <= routes


def test_no_document_knows_a_machine(document: Path) -> None:
    found = re.findall(r"(?<![\w.$}:/])/(?:home|root|tmp|work|Users|mnt)/\S*", document.read_text())
    assert found == []


def test_the_documented_deployments_exist() -> None:
    names = {entry["name"] for entry in read_deployments(CHECKOUT / "prefect.yaml")}
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    assert set(re.findall(r"`(\w+)` deployment", text)) <= names


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in sorted((CHECKOUT / "docs/decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
