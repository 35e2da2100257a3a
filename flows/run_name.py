"""What a run is called once it knows what it found: "monitor churn · 3 of 21 features drifted"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loguru import logger
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

LONGEST = 160


def run_name(flow: str, results: Mapping[str, Mapping[str, Any]], problems: Sequence[str]) -> str:
    """The flow, its problems, and a headline of each; a problem without a result failed."""
    lines = {
        problem: _headline(flow, results[problem]) if problem in results else "failed"
        for problem in problems
    }
    if len(lines) == 1:
        problem, line = next(iter(lines.items()))
        return _cut(f"{flow} {problem} · {line}")
    return _cut(f"{flow} · " + "; ".join(f"{name}: {line}" for name, line in lines.items()))


def name_run(name: str) -> None:
    """Rename the flow run that is under way, if there is one; a silent server is no failure."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(context.flow_run.id, name=name)
    except Exception as error:
        logger.warning("the run keeps its first name: {}", type(error).__name__)


def _headline(flow: str, facts: Mapping[str, Any]) -> str:
    if "skipped" in facts:
        return "skipped"
    found = HEADLINES.get(flow, _nothing)(facts)
    return ", ".join(part for part in found if part) or "nothing new"


def _nothing(_facts: Mapping[str, Any]) -> list[str]:
    return ["done"]


def _of_ingest(facts: Mapping[str, Any]) -> list[str]:
    sources = [source for source in facts.values() if isinstance(source, Mapping)]
    n_rows = sum(source.get("rows", 0) for source in sources)
    n_bad = sum(source.get("quarantined", 0) for source in sources)
    n_refused = sum(len(source.get("refused", ())) for source in sources)
    n_failed = sum("failed" in source for source in sources)
    return [
        f"{n_rows:,} rows" if n_rows else "",
        f"{n_bad:,} quarantined" if n_bad else "",
        f"{n_refused} refused" if n_refused else "",
        f"{n_failed} of the sources failed" if n_failed else "",
    ]


def _of_monitor(facts: Mapping[str, Any]) -> list[str]:
    drifted, value = facts.get("features_drifted"), facts.get("live_performance")
    if facts.get("drift") == "no champion yet":
        return ["no champion yet"]
    return [f"{drifted} features drifted" if drifted else "drift not testable", value or ""]


def _of_retrain(facts: Mapping[str, Any]) -> list[str]:
    outcome, version = facts.get("outcome", ""), facts.get("version")
    word = str(outcome).replace("_", " ")
    return [f"version {version} {word}" if version is not None else word]


def _of_continual(facts: Mapping[str, Any]) -> list[str]:
    challenger, drifted = facts.get("challenger"), facts.get("features_drifted")
    return [
        *_of_ingest(facts.get("ingested", {})),
        f"{drifted} features drifted" if drifted else "",
        *(_of_retrain(challenger) if challenger else ()),
    ]


def _of_maintain(facts: Mapping[str, Any]) -> list[str]:
    merged, removed = facts.get("files_merged"), facts.get("files_removed")
    return [
        f"{merged} files merged" if merged else "",
        f"{removed} old files removed" if removed else "",
    ]


def _of_publish(facts: Mapping[str, Any]) -> list[str]:
    version = facts.get("version")
    return ["nothing to serve yet" if version is None else f"version {version} is served"]


def _of_replay(facts: Mapping[str, Any]) -> list[str]:
    best, rows = facts.get("best"), facts.get("rows")
    return [f"{best} did best" if best else "", f"over {rows:,} rows" if rows else ""]


HEADLINES: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "ingest": _of_ingest,
    "monitor": _of_monitor,
    "retrain": _of_retrain,
    "continual": _of_continual,
    "maintain": _of_maintain,
    "publish": _of_publish,
    "replay": _of_replay,
}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
