"""How the system is: champion, freshness, what is open, what waits, what ran."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import streamlit as st
from sqlalchemy import Row

from learning.phrases import figure
from storage import volumes
from ui.facts_overview import Overview, bootstrap_rows, has_generator, read_overview
from ui.parts import SEVERITY_COLOURS, STATE_ICONS, empty, table, tiles
from ui.scene import Scene
from ui.stages import show_running, verdict
from ui.words import ago, amount, clock, literal, share

AGAIN_SECONDS = 15.0
IN_WORDS = {
    "training": "is being trained",
    "candidate": "is trained and waits for the gate",
    "waiting": "waits for more rows: the gate cannot say yet",
    "challenger": "passed the gate and is about to take over",
}


def show(scene: Scene) -> None:
    """The page; it asks again by itself."""

    @st.fragment(run_every=AGAIN_SECONDS)
    def body() -> None:
        with scene.tables() as connection:
            found = read_overview(scene.settings, connection, scene.problem, scene.api)
        if found.champion is None:
            _begin(scene)
        _attention(found)
        _tiles(found)
        _works(found)
        _runs(found)
        _alerts(found)

    body()


def _begin(scene: Scene) -> None:
    needed = bootstrap_rows(scene.settings, scene.problem)
    st.subheader("No model yet")
    if needed:
        with scene.tables() as connection:
            n_rows = volumes.count_ingested(connection, scene.problem, needed)
        counted = f"{amount(n_rows)} rows so far; the first model needs {amount(needed)} with label"
        st.progress(min(1.0, n_rows / needed))
        st.caption(counted)
    inbox = f"{scene.inbox}/"
    code = f"mkdir -p {inbox}\ncp rows.csv {inbox}"
    to_do = "Put labelled rows (CSV or Parquet) into the inbox; the loop takes them within 30 s."
    if has_generator(scene.settings, scene.problem):
        to_do += " Or let the **Generate** page make some."
    empty("What to do next", to_do, code)


def _attention(found: Overview) -> None:
    lines = list(_troubles(found))
    if not lines:
        st.success("All is well: nothing needs you.", icon=":material/check_circle:")
        return
    for colour, text in lines:
        write = {"red": st.error, "orange": st.warning}.get(colour, st.info)
        write(text)


def _troubles(found: Overview) -> Iterator[tuple[str, str]]:
    for incident in found.incidents:
        alert = incident.message.alert
        since = f", open for {_since(incident.opened_at)}" if incident.opened_at else ""
        text = f"**{literal(alert.title)}**{since}  \n" + "  \n".join(
            literal(line) for line in alert.text.splitlines()
        )
        yield SEVERITY_COLOURS.get(alert.severity, "blue"), text
    for name, state in found.failing_sources.items():
        since = ago(state["failing_since"])
        yield (
            "orange",
            f"**Source {literal(name)} fails** since {since}: {literal(state['reason'])}",
        )
    if isinstance(found.api, str):
        yield "orange", literal(found.api[:1].upper() + found.api[1:])
    elif found.api.get("status") == "degraded":
        yield "orange", "**API degraded:** " + literal("; ".join(found.api.get("reasons", ())))
    newest = max(found.last_runs.values(), key=lambda run: run["started_at"], default=None)
    if newest is not None and newest["state"] == "failed" and not found.incidents:
        yield "red", f"**The last run failed:** {literal(newest['reason'] or 'no reason given')}"


def _since(moment: object) -> str:
    return ago(moment).removesuffix(" ago")  # type: ignore[arg-type]


def _tiles(found: Overview) -> None:
    tiles([_champion(found), _live(found), _drift(found)])
    tiles([_fresh(found), _served(found), _backlog(found)])


def _champion(found: Overview) -> tuple[str, str, str]:
    if found.champion is None:
        return "Champion", "none yet", "nothing is served"
    servers = f"{found.n_servers} server process" + ("" if found.n_servers == 1 else "es")
    trained = f"trained {ago(found.champion.trained_at)}, answered by {servers}"
    for stage in found.stages:
        trained += f"; {_beside(stage)}"
    return "Champion", f":green[version {found.champion.version}]", trained


def _beside(stage: Row[Any]) -> str:
    if stage.stage == "canary":
        return f"canary: version {stage.version}, {share(stage.share)} of the requests"
    if stage.stage == "shadow":
        return f"shadow: version {stage.version}"
    return f"on probation against version {stage.against}"


def _live(found: Overview) -> tuple[str, str, str]:
    live = found.live
    if live is None or live.value is None:
        guess = found.estimate
        if guess is not None and guess.value is not None:
            text = figure(guess.value, guess.low, guess.high)
            return f"Estimated {guess.metric}", literal(text), "no labels yet"
        return "Live performance", "–", "no labels yet: send feedback"
    colour = "red" if live.is_below_floor else "green"
    floor = "" if live.floor is None else f", floor {live.floor:.3f}"
    small = f"{_interval(live.low, live.high)} on {amount(live.n_rows)} labels{floor}"
    return f"Live {live.metric}", f":{colour}[{live.value:.3f}]", literal(small)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _drift(found: Overview) -> tuple[str, str, str]:
    drift = found.drift
    if drift is None:
        return "Data drift", "–", "not checked yet"
    if drift.drift_share is None:
        return "Data drift", "not testable", literal(drift.reason)
    word = ":red[drifted]" if drift.is_drifted else ":green[none]"
    small = f"{share(drift.drift_share)} of the features, checked {ago(drift.checked_at)}"
    return "Data drift", word, small


def _fresh(found: Overview) -> tuple[str, str, str]:
    batch = found.newest_batch
    rows = "no batch yet" if batch is None else f"{amount(batch.n_rows)} rows {batch.state}"
    value = "never" if batch is None else ago(batch.ingested_at)
    return "Newest batch", value, literal(rows)


def _served(found: Overview) -> tuple[str, str, str]:
    small = f"newest label {ago(found.newest_label)}"
    return "Newest prediction", ago(found.newest_prediction), small


def _backlog(found: Overview) -> tuple[str, str, str]:
    journal = found.api.get("journal_backlog") if isinstance(found.api, dict) else None
    waiting = {
        "in the journal": journal or 0,
        "in quarantine": found.n_quarantined,
        "labels without a row": found.n_waiting_labels,
        "alerts untold": found.n_waiting_alerts,
    }
    told = [f"{amount(n)} {name}" for name, n in waiting.items() if n]
    return "Waiting", amount(sum(waiting.values())), ", ".join(told) or "nothing waits"


def _works(found: Overview) -> None:
    show_running(found.stages)
    for row in found.in_the_works:
        icon = STATE_ICONS.get(row.state, ":material/circle:")
        what = IN_WORDS.get(row.state, f"is {row.state}")
        st.info(f"Version {row.version} {literal(what)}", icon=icon)
    said = []
    if found.decision is not None:
        word = "retrain" if found.decision.go else "do not retrain"
        said.append((f"Last decision, {ago(found.decision.decided_at)}: {word}", found.decision))
    if found.gate is not None:
        version = found.gate.evidence.get("version", "")
        word, _ = verdict(found.gate)
        said.append(
            (f"Version {version} at the gate, {ago(found.gate.decided_at)}: {word}", found.gate)
        )
    for title, row in said:
        with st.container(border=True):
            st.markdown(f"**{literal(title)}**  \n{literal(row.reason)}")


def _runs(found: Overview) -> None:
    st.subheader("Last runs")
    if not found.last_runs:
        empty(
            "Nothing has run yet",
            "`make up` starts the loop; by hand it is",
            "perennial run continual",
        )
        return
    rows = []
    for flow, run in found.last_runs.items():
        ended = run["ended_at"]
        took = None if ended is None else (ended - run["started_at"]).total_seconds()
        rows.append(
            {
                "flow": flow,
                "state": run["state"],
                "when": ago(run["started_at"]),
                "took": "" if took is None else f"{took:.1f} s",
                "what": run["reason"] or "",
            }
        )
    table(rows, what=st.column_config.TextColumn("what", width="large"))


def _alerts(found: Overview) -> None:
    if not found.alerts:
        return
    st.subheader("Newest alerts")
    table(
        [
            {
                "when": clock(entry.created_at),
                "severity": entry.alert.severity,
                "what": entry.alert.title,
                "repeats": entry.repeats,
                "told": entry.state,
            }
            for entry in found.alerts
        ],
        what=st.column_config.TextColumn("what", width="large"),
    )
