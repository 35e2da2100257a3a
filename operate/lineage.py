"""Lineage for a person: what a version was made of, checked by making it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from operate.status import tables_of
from operate.terminal import printable
from settings import Settings
from storage import models
from storage.bundles import replacing
from storage.ledger import newest_of_subject
from tasks.lineage import LineageError, remake


def read_lineage(
    settings: Settings, problem: str | None, version: int, export: Path | None, is_rerun: bool
) -> dict[str, Any]:
    """What a version was made of, and whether its rows (and its graph) are still what they were.

    Raises LineageError when there is no such version or nothing is known of it.
    """
    name = problem or settings.active[0]
    with tables_of(settings, problem) as connection:
        row = models.find_version(connection, name, version)
        if row is None:
            raise LineageError(f"{name}: no version {version}; see `perennial history`")
        policy = None
        if row.lineage is not None:
            digest = row.lineage["problem_sha256"]
            policy = newest_of_subject(connection, name, digest)
    found = remake(settings, row, is_rerun)
    if export is not None:
        with replacing(export.resolve()) as file:
            found.rows.to_parquet(file, index=False)
    return {
        "problem": name,
        "version": version,
        "state": row.state,
        "trained_at": row.trained_at,
        "bundle": row.bundle,
        **row.lineage,
        "problem_ledger_row": None if policy is None else policy.seq,
        "ok": not found.differences,
        "differences": list(found.differences),
        "rerun_sha256": found.model_sha256,
        "export": None if export is None else str(export),
    }


def show_lineage(found: dict[str, Any], console: Console) -> None:
    """One line per fact."""
    lines = [f"{found['problem']} version {found['version']} ({found['state']})"]
    lines.append(f"data version {found['data_version']}, window {found['window']}")
    for part in ("training", "holdout"):
        rows = found[part]
        sources = ", ".join(f"{name} {count:,}" for name, count in rows["sources"].items())
        lines.append(f"{part}: {rows['n_rows']:,} rows, {rows['first']} to {rows['last']}")
        lines.append(f"  from {sources}; sha256 {rows['sha256']}")
    settings = ", ".join(f"{key}={value}" for key, value in found["parameters"].items())
    lines.append(f"model {found['model']}({settings}), seed {found['seed']}")
    seq = found["problem_ledger_row"]
    where = f", row {seq} of the ledger" if seq is not None else ""
    lines.append(f"problem file sha256 {found['problem_sha256']}{where}")
    code = found["code"]
    lines.append(f"perennial {code['package']}, revision {code['revision'] or 'not known'}")
    lines.append(", ".join(f"{name} {number}" for name, number in found["libraries"].items()))
    lines += _verdict(found)
    for line in lines:
        console.print(printable(line), markup=False)


def _verdict(found: dict[str, Any]) -> list[str]:
    if not found["ok"]:
        return list(found["differences"])
    lines = ["checked: the rows were loaded again and are the same"]
    if found["rerun_sha256"]:
        lines.append("checked: trained again from them, the ONNX graph has the same bytes")
    if found["export"]:
        lines.append(f"the training rows are in {found['export']}")
    return lines
