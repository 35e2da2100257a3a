"""`perennial history`, `verify` and `lineage`: what was decided, and what models are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from operate.terminal import JsonOption, ProblemOption, clear_errors, read_settings, show


def history(
    problem: ProblemOption = None,
    newest: Annotated[int, typer.Option(help="How many releases.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """The decision ledger: who was champion from when to when, who decided, and why."""
    from operate.history import read_history, show_history

    with clear_errors():
        found = read_history(read_settings(quiet=True), problem, newest)
        show(found, as_json, lambda console: show_history(found, console))


def verify(
    head: Annotated[
        str | None, typer.Option(help="A newest hash that was noted earlier; must still be there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that no row of the ledger was changed, taken out or slipped in; exit 1 if one was."""
    from operate.history import show_verified
    from operate.history import verify as check

    with clear_errors():
        found = check(read_settings(quiet=True), head)
        show(found, as_json, lambda console: show_verified(found, console))
        raise typer.Exit(0 if found["ok"] else 1)


def lineage(
    version: Annotated[int, typer.Argument(min=1, help="Number of a version.")],
    problem: ProblemOption = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the exact training rows to this Parquet file.")
    ] = None,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Train it again and compare the ONNX bytes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """What a version was made of, checked by loading its rows again; exit 1 when they differ."""
    from operate.lineage import read_lineage, show_lineage

    with clear_errors():
        found = read_lineage(read_settings(quiet=True), problem, version, export, rerun)
        show(found, as_json, lambda console: show_lineage(found, console))
        raise typer.Exit(0 if found["ok"] else 1)
