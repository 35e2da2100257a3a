"""`perennial backup` and `perennial restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from operate.terminal import JsonOption, clear_errors, read_settings, show


def backup(
    dest: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    without_database: Annotated[
        bool, typer.Option("--without-database", help="SQL is copied by pg_dump.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy everything that matters, consistent, while the loop and the API run."""
    from operate.backup import make_backup

    with clear_errors():
        made = make_backup(read_settings(quiet=True), dest, without_database)
        show(made, as_json, lambda console: _show_made(made, console))


def restore(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of a backup.")],
    force: Annotated[
        bool, typer.Option("--force", help="Move aside what is in the home folder.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put a backup back after verifying it; refuses a home that is not empty."""
    from operate.backup import restore as put_back

    with clear_errors():
        done = put_back(read_settings(quiet=True), source, force)
        show(done, as_json, lambda console: _show_restored(done, console))


def _show_made(made: dict[str, Any], console: Console) -> None:
    size = f"{made['files']:,} files, {made['bytes']:,} bytes"
    console.print(f"{made['backup']}: {size}, each with its hash", markup=False, soft_wrap=True)
    console.print(f"newest hash of the ledger: {made['head']}", soft_wrap=True)


def _show_restored(done: dict[str, Any], console: Console) -> None:
    served = ", ".join(f"{name} version {version}" for name, version in done["served"].items())
    what = f"{done['files']:,} files of {done['made_at']:%Y-%m-%d %H:%M:%S} UTC are back"
    console.print(f"{what}; served: {served or 'nothing yet'}", markup=False, soft_wrap=True)
    for path in done["moved_aside"]:
        console.print(f"what was there before is in {path}", markup=False, soft_wrap=True)
    for note in done["notes"]:
        console.print(note, markup=False, soft_wrap=True)
