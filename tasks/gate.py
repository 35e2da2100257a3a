"""The gate: champion and challenger on the same holdout rows, the verdict kept and shown."""

from __future__ import annotations

import pandas as pd

from learning.gate import Contest, Verdict, judge
from learning.onnx_export import Parity
from learning.rows import Floats
from storage import models, reports
from storage.bundles import read_bundle
from storage.database import reading
from storage.kill_points import reach
from storage.manifest import cut
from tasks.artifacts import show_verdict
from tasks.champion import load_champion
from tasks.run import Run
from tasks.step import step
from tasks.training import EVALUATION, refuse_version, training_folder


@step("gate: champion against challenger")
def judge_candidate(run: Run, version: int) -> Verdict:
    """The verdict on a trained version; a refused one is told of, a passed one is challenger."""
    champion = load_champion(run)
    with reading(run.engine) as connection:
        row = models.find_version(connection, run.name, version)
    if row is None or row.bundle is None:
        raise LookupError(f"{run.name}: version {version} has no bundle to judge")
    manifest = read_bundle(run.store, run.name, row.bundle).manifest
    table = pd.read_parquet(training_folder(run.settings.home, run.name, version) / EVALUATION)
    rival = champion if champion is not None and champion.manifest.task == manifest.task else None
    contest = Contest(
        task=manifest.task,
        metric=manifest.metric,
        y=table["y"].to_numpy(dtype="float64"),
        challenger=_outputs(table, "challenger"),
        rival=_outputs(table, "rival"),
        rival_name="the dummy" if rival is None else f"champion {rival.version}",
        threshold=cut(manifest),
        is_first=champion is None,
        is_rival_served=rival is not None,
        rival_threshold=0.5 if rival is None else cut(rival.manifest),
    )
    parity = Parity(
        int(manifest.parity["n_rows"]),
        manifest.parity["largest_difference"],
        manifest.parity["tolerance"],
    )
    verdict = judge(contest, parity, run.problem.gate)
    _keep(run, version, verdict)
    reach("gate.verdict_kept")
    if not verdict.decision.go:
        refuse_version(run, version, champion, verdict.decision.reason)
    show_verdict(run, version, verdict)
    return verdict


def _outputs(table: pd.DataFrame, side: str) -> Floats:
    columns = [name for name in table if str(name).startswith(f"{side}_")]
    return table[columns].to_numpy(dtype="float64")


def _keep(run: Run, version: int, verdict: Verdict) -> None:
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
                    "gain": verdict.gain,
                    "gain_low": verdict.gain_low,
                    "gain_high": verdict.gain_high,
                },
                "clock": run.now,
            },
        )
        if decision.go:
            models.update_version(
                connection, run.name, version, state="challenger", reason=decision.reason
            )
