"""`perennial quarantine …`: what was refused row by row, and putting it back."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from operate.terminal import (
    JsonOption,
    ProblemOption,
    clear_errors,
    read_settings,
    show,
    user_name,
)

app = typer.Typer(no_args_is_help=True, help="Rows that were refused, and putting them back.")

BatchOption = Annotated[
    str | None, typer.Option("--batch", help="A batch's id, its beginning, or its file's name.")
]
MatchingOption = Annotated[
    str | None, typer.Option("--matching", help="Part of the reason they were refused for.")
]
IdOption = Annotated[list[int] | None, typer.Option("--id", help="A row's id, as show tells it.")]


class State(StrEnum):
    """What became of a quarantined row."""

    WAITING = "waiting"
    RELEASING = "releasing"
    RELEASED = "released"
    REPEATED = "repeated"
    ALL = "all"


StateOption = Annotated[State, typer.Option("--state", help="What became of them.")]


@app.command("list")
def list_command(
    problem: ProblemOption = None,
    batch: BatchOption = None,
    matching: MatchingOption = None,
    state: StateOption = State.WAITING,
    as_json: JsonOption = False,
) -> None:
    """Count refused rows by problem, batch and reason."""
    from operate.quarantine import list_quarantine
    from operate.quarantine_view import show_list

    with clear_errors():
        settings = read_settings(quiet=True)
        found = list_quarantine(settings, problem, batch, matching, state.value)
        show(found, as_json, lambda console: show_list(found, console))


@app.command("show")
def show_command(
    problem: ProblemOption = None,
    batch: BatchOption = None,
    matching: MatchingOption = None,
    row_id: IdOption = None,
    state: StateOption = State.WAITING,
    limit: Annotated[int, typer.Option(min=1, help="How many rows, oldest first.")] = 20,
    export: Annotated[
        Path | None, typer.Option(help="Write all of them: .csv, .csv.gz or .jsonl.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show refused rows with their reasons and values."""
    from operate.quarantine import export_rows, show_rows
    from operate.quarantine_view import show_rows as view
    from storage.quarantine import Selection

    kept = None if state is State.ALL else state.value
    with clear_errors():
        settings = read_settings(quiet=True)
        selection = Selection("", batch, matching, tuple(row_id or ()), kept)
        if export is None:
            found = show_rows(settings, problem, selection, limit)
            show(found, as_json, lambda console: view(found, console))
            return
        done = export_rows(settings, problem, selection, export)
        text = f"{done['rows']} rows written to {done['file']}"
        show(done, as_json, lambda console: console.print(text, markup=False))


@app.command("release")
def release_command(
    reason: Annotated[str, typer.Option(help="Why they are right; kept with the rows.")],
    problem: ProblemOption = None,
    batch: BatchOption = None,
    matching: MatchingOption = None,
    row_id: IdOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Overrule ranges, nulls, categories and future times.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put rows through ingest again by the rules of today; exit 1 when some are still refused."""
    from operate.quarantine import QuarantineError, release
    from operate.quarantine_view import show_release
    from storage.quarantine import Selection

    with clear_errors():
        if everything == bool(batch or matching or row_id):
            raise QuarantineError("say which rows: --batch, --matching or --id, or --all of them")
        selection = Selection("", batch, matching, tuple(row_id or ()))
        settings = read_settings(quiet=True)
        found = release(settings, problem, selection, user_name(), reason, as_is)
        show(found, as_json, lambda console: show_release(found, console))
        raise typer.Exit(1 if found["waiting"] else 0)
