"""The gate: champion and challenger on the same unseen rows, the verdict kept and shown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from learning import alert_text
from learning.gate import Verdict, judge
from learning.onnx_export import Parity
from storage import models, reports
from storage.database import reading
from storage.kill_points import reach
from tasks.artifacts import show_verdict
from tasks.champion import Champion, load_champion
from tasks.gate_evidence import hear
from tasks.gate_notes import REVERSAL
from tasks.labelled import read_labelled
from tasks.run import Run
from tasks.step import step
from tasks.training import refuse_version


@step("gate: champion against challenger")
def judge_candidate(run: Run, version: int) -> Verdict:
    """The verdict on a trained version: challenger if it passed, waiting if nobody can say yet."""
    schema = run.schema
    champion, challenger = load_champion(run), load_champion(run, version)
    if challenger is None or schema is None:
        raise LookupError(f"{run.name}: version {version} has no bundle to judge")
    before = looks_at(run, version)
    labelled = read_labelled(run, schema, champion)
    hearing = hear(run, schema, labelled, challenger, champion, is_first_look=not before)
    rules, look = run.problem.gate, len(before) + 1
    is_last = look >= rules.looks or _is_out_of_patience(run, challenger, len(hearing.contest.y))
    parity = parity_of(challenger)
    verdict = judge(hearing.contest, parity, rules, hearing.beside, look, is_last)
    keep_verdict(run, version, verdict, champion)
    reach("gate.verdict_kept")
    if verdict.outcome == "refuse":
        refuse_version(run, version, champion, verdict.decision.reason)
    show_verdict(run, version, verdict)
    return verdict


@step("judge the waiting challenger again")
def judge_again(run: Run) -> tuple[int, Verdict] | None:
    """Another look at the waiting version once there are enough more rows; None until then."""
    with reading(run.engine) as connection:
        waiting = models.waiting(connection, run.name)
    if waiting is None or run.schema is None:
        return None
    before = looks_at(run, waiting.version)
    champion, challenger = load_champion(run), load_champion(run, waiting.version)
    if challenger is None:
        raise LookupError(f"{run.name}: waiting version {waiting.version} has no bundle")
    end = challenger.training_end
    if champion is not None:
        end = max(end, champion.training_end)
    n_rows = int(read_labelled(run, run.schema, champion).behind(end).sum())
    seen = before[0].evidence.get("n_rows", 0) if before else 0
    needed = max(run.problem.gate.growth * seen, run.problem.gate.min_rows)
    if n_rows < needed and not _is_out_of_patience(run, challenger, n_rows):
        return None
    return waiting.version, judge_candidate(run, waiting.version)


def looks_at(run: Run, version: int) -> list[Row[Any]]:
    """The gate's decisions about a version so far, newest first."""
    with reading(run.engine) as connection:
        return reports.gate_decisions(connection, run.name, version)


def _is_out_of_patience(run: Run, challenger: Champion, n_rows: int) -> bool:
    patience = run.problem.gate.patience
    if patience.rows is not None:
        return n_rows >= patience.rows
    return run.now - challenger.clock.to_pydatetime() >= (patience.time or timedelta(0))


def parity_of(challenger: Champion) -> Parity:
    """What was measured when its graph was made."""
    kept = challenger.manifest.parity
    return Parity(int(kept["n_rows"]), kept["largest_difference"], kept["tolerance"])


def keep_verdict(run: Run, version: int, verdict: Verdict, champion: Champion | None) -> None:
    """Write a verdict down; a version that passed is challenger, one in doubt waits."""
    decision = verdict.decision
    with run.commit() as connection:
        reports.save_decision(
            connection,
            {
                "run_id": run.run_id,
                "problem": run.name,
                "kind": "gate",
                "go": decision.go,
                "reason": decision.reason,
                "evidence": {
                    **decision.evidence,
                    "version": version,
                    "champion": None if champion is None else champion.version,
                    "gain": verdict.gain,
                    "gain_low": verdict.gain_low,
                    "gain_high": verdict.gain_high,
                    "confidence": verdict.confidence,
                },
                "clock": run.now,
            },
        )
        if champion is not None and (reversal := verdict.check(REVERSAL)) is not None:
            is_held = not reversal.passed
            contradict = alert_text.labels_contradict(champion.version, reversal.text, is_held)
            run.alert(connection, contradict)
        if verdict.outcome == "refuse":
            return
        state = "challenger" if decision.go else "waiting"
        models.update_version(connection, run.name, version, state=state, reason=decision.reason)
        if state == "waiting":
            serving = None if champion is None else str(champion.version)
            waits = alert_text.challenger_waits(str(version), serving, decision.reason)
            run.alert(connection, waits, str(version))
