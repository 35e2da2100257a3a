"""What the container files promise, checked without a container engine."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import CHECKOUT, Settings

DOCKERFILES = {
    name: CHECKOUT / f"deployments/{name}.Dockerfile" for name in ("api", "pipeline", "ui")
}
PYTHON_SERVICES = ("prefect", "mlflow", "deploy", "worker", "api", "ui")
MONITORING = ("prometheus", "grafana", "uptime-kuma")
COMPOSE_ONLY = {"PERENNIAL_PUBLISH", "PERENNIAL_PUBLISH_UI", "PERENNIAL_METRICS_TOKEN"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    return document


def copied(dockerfile: Path) -> list[str]:
    """The sources of every COPY from the build context."""
    sources: list[str] = []
    for line in dockerfile.read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--from"):
            sources += words[1:-1]
    return sources


def commands(compose: dict[str, Any]) -> dict[str, list[str]]:
    """The command line of each service, and of each image by itself."""
    found = {
        name: [str(word) for word in service["command"]]
        for name, service in compose["services"].items()
        if "command" in service
    }
    for name, file in DOCKERFILES.items():
        last = file.read_text().rstrip().splitlines()[-1]
        found[f"{name}.Dockerfile"] = yaml.safe_load(last.removeprefix("CMD "))
    return found


def setting_names() -> set[str]:
    """The variable of every setting, as a person writes it."""
    names = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        names.add(str(alias.choices[0]) if hasattr(alias, "choices") else f"PERENNIAL_{name}")
    return {name.upper() for name in names}


def test_the_compose_file_follows_the_specification() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"),
            str(CHECKOUT / "docker-compose.yml"),
        ],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok" in done.stdout


def test_only_what_asks_for_tokens_is_published_and_all_on_loopback_unless_told(
    compose: dict[str, Any],
) -> None:
    published = {
        name: each["ports"] for name, each in compose["services"].items() if "ports" in each
    }
    assert published.pop("api") == ["${PERENNIAL_PUBLISH:-127.0.0.1}:8000:8000"]
    assert published.pop("ui") == ["${PERENNIAL_PUBLISH_UI:-127.0.0.1}:8501:8501"]
    # Prometheus has no users of its own: never beyond loopback.
    assert set(published) == set(MONITORING)
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)
    assert not any("network_mode" in each for each in compose["services"].values())


def test_every_service_has_a_read_only_root_and_gains_no_privileges(
    compose: dict[str, Any],
) -> None:
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert "/tmp" in service["tmpfs"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_every_secret_must_be_set_by_the_person(compose: dict[str, Any]) -> None:
    text = (CHECKOUT / "docker-compose.yml").read_text()
    secrets = re.findall(r"(?<!\$)\$\{(\w*(?:PASSWORD|TOKEN)\w*)(.*?)\}", text)
    required = {name for name, rest in secrets if rest == ":?set it in .env"}
    assert required == {"POSTGRES_PASSWORD", "PERENNIAL_API_TOKEN"}
    # A profile that is off must not ask: its services ask when they are started.
    later = {name: rest for name, rest in secrets if name not in required}
    assert later == {"PERENNIAL_METRICS_TOKEN": ":-", "GRAFANA_ADMIN_PASSWORD": ":-"}


@pytest.mark.parametrize(
    ("service", "variable", "asked_for"),
    [
        ("prometheus", "METRICS_TOKEN", "PERENNIAL_METRICS_TOKEN"),
        ("grafana", "GF_SECURITY_ADMIN_PASSWORD", "GRAFANA_ADMIN_PASSWORD"),
    ],
)
def test_a_watching_service_without_its_secret_does_not_start(
    compose: dict[str, Any], service: str, variable: str, asked_for: str, tmp_path: Path
) -> None:
    entry = compose["services"][service]
    assert variable in entry["environment"]
    script = entry["command"][0].replace("$$", "$").replace("/tmp/token", str(tmp_path / "token"))
    script = re.sub(r"exec .*", "echo started", script)

    def start(secret: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], variable: secret}
        return subprocess.run(
            ["sh", "-ec", script], env=env, capture_output=True, text=True, check=False
        )

    refused = start("")
    assert refused.returncode != 0
    assert f"set {asked_for} in .env" in refused.stderr
    assert "started" not in refused.stdout
    assert start("a $ecret 'word'").stdout == "started\n"
    if service == "prometheus":
        assert (tmp_path / "token").read_text() == "a $ecret 'word'"
        assert (tmp_path / "token").stat().st_mode & 0o077 == 0


def test_monitoring_is_started_only_when_asked_for(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service.get("profiles") == (["monitoring"] if name in MONITORING else None)


def test_no_service_sends_telemetry(compose: dict[str, Any]) -> None:
    for name in PYTHON_SERVICES:
        environment = compose["services"][name]["environment"]
        assert environment["DO_NOT_TRACK"] == "1"
        assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
        assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
        assert environment["STREAMLIT_BROWSER_GATHER_USAGE_STATS"] == "false"


def test_what_others_wait_for_can_be_waited_for(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for awaited, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[awaited]
            else:
                assert how["condition"] == "service_completed_successfully"
                assert services[awaited]["restart"] == "on-failure"


def test_every_volume_is_declared_and_every_declared_volume_is_used(
    compose: dict[str, Any],
) -> None:
    mounts = [mount for each in compose["services"].values() for mount in each.get("volumes", [])]
    used = {mount.split(":")[0] for mount in mounts}
    assert {name for name in used if not name.startswith(".")} == set(compose["volumes"])
    assert all((CHECKOUT / name).is_dir() for name in used if name.startswith("."))


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_an_image_copies_exists_and_is_let_through(name: str) -> None:
    ignored = (CHECKOUT / ".dockerignore").read_text().splitlines()
    for source in copied(DOCKERFILES[name]):
        path = source.removeprefix("./")
        assert (CHECKOUT / path).exists()
        assert f"!{path}" in ignored


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_runs_as_a_person_without_rights(name: str) -> None:
    lines = DOCKERFILES[name].read_text().splitlines()
    assert "USER perennial" in lines
    assert lines.index("USER perennial") < next(
        number for number, line in enumerate(lines) if line.startswith("CMD ")
    )


def first_party(module: str) -> Path | None:
    """The file of one of our modules; None for everything else."""
    path = CHECKOUT / module.replace(".", "/")
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def imported_at_once(file: Path) -> set[Path]:
    """Our files that importing this one imports; what functions import later does not count."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {path for name in names if (path := first_party(name)) is not None}
    return found


@pytest.mark.parametrize(
    ("image", "package", "more"), [("api", "api", "cli.py"), ("ui", "ui", "settings.py")]
)
def test_an_image_holds_all_that_its_package_imports(image: str, package: str, more: str) -> None:
    held = [(CHECKOUT / source).resolve() for source in copied(DOCKERFILES[image])]
    waiting = [*(CHECKOUT / package).glob("*.py"), CHECKOUT / more]
    seen: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        assert any(file == root or root in file.parents for root in held), file
        waiting += imported_at_once(file)


@pytest.mark.parametrize(
    "service", [*PYTHON_SERVICES, "api.Dockerfile", "pipeline.Dockerfile", "ui.Dockerfile"]
)
def test_every_command_exists_with_its_options(compose: dict[str, Any], service: str) -> None:
    command = commands(compose)[service]
    if command[:2] == ["python", "-m"] and command[2] not in ("cli", "entry"):
        file = first_party(command[2])
        if file is not None and file.name == "__init__.py":
            file = file.with_name("__main__.py")
        assert file is not None
        assert '__name__ == "__main__"' in file.read_text()
        return
    program = [sys.executable, "-m", *command[2:]] if command[0] == "python" else None
    program = program or [sys.executable, "-m", *command]
    options = [word.split("=")[0] for word in program if word.startswith("--")]
    first = next((i for i, word in enumerate(program) if word.startswith("--")), len(program))
    shown = subprocess.run(
        [*program[:first], "--help"], capture_output=True, text=True, check=False, cwd=CHECKOUT
    )
    assert shown.returncode == 0, shown.stderr
    assert all(option in shown.stdout for option in options), shlex.join(program)


def test_every_variable_of_ours_in_a_container_file_is_a_setting() -> None:
    files = [*DOCKERFILES.values(), CHECKOUT / "docker-compose.yml", CHECKOUT / "prefect.yaml"]
    named = {name for file in files for name in re.findall(r"PERENNIAL_\w+", file.read_text())}
    assert named - setting_names() <= COMPOSE_ONLY


def test_the_list_of_settings_names_each_once_and_nothing_else() -> None:
    lines = (CHECKOUT / ".env.example").read_text().splitlines()
    named = [match[1] for line in lines if (match := re.match(r"#?([A-Z][A-Z_]+)=", line))]
    required_by_compose = {"POSTGRES_PASSWORD", "GRAFANA_ADMIN_PASSWORD"}
    assert len(named) == len(set(named))
    assert set(named) == setting_names() | COMPOSE_ONLY | required_by_compose


def test_the_list_of_settings_shows_the_defaults() -> None:
    lines = (CHECKOUT / ".env.example").read_text().splitlines()
    shown = dict(line[1:].split("=", 1) for line in lines if re.match(r"#PERENNIAL_\w+=", line))
    for name in (
        "API_HOST",
        "API_PORT",
        "API_WORKERS",
        "PREFECT_PORT",
        "MLFLOW_PORT",
        "UI_PORT",
        "JOURNAL_LIMIT_MB",
        "HOME",
    ):
        default = Settings.model_fields[name.lower()].default
        assert shown[f"PERENNIAL_{name}"] == str(default)
