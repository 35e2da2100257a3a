"""`perennial predict IN OUT`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from operate.terminal import JsonOption, ProblemOption, clear_errors, read_settings, show


class OnBadRow(StrEnum):
    """What becomes of a file with rows that the model cannot take."""

    FAIL = "fail"
    SKIP = "skip"


def predict(
    source: Annotated[Path, typer.Argument(metavar="IN", help="CSV, CSV.gz or Parquet file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The same, with predictions.")],
    problem: ProblemOption = None,
    on_error: Annotated[
        OnBadRow, typer.Option(help="A bad row: refuse the file, or leave the row out.")
    ] = OnBadRow.FAIL,
    as_json: JsonOption = False,
) -> None:
    """Score a file with the champion; needs no server, MLflow, Prefect or database."""
    from operate.predict import predict_file

    bar = Progress(
        TextColumn("scoring"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=as_json or not Console(stderr=True).is_terminal,
    )
    with clear_errors():
        settings = read_settings(quiet=True)
        with bar:
            task = bar.add_task("scoring", total=1.0)
            found = predict_file(
                settings,
                problem,
                source,
                target,
                on_error.value,
                lambda share: bar.update(task, completed=share),
            )
        show(found, as_json, lambda console: _show(found, console))


def _show(found: dict[str, Any], console: Console) -> None:
    line = f"{found['predicted']:,} rows scored by version {found['version']} of {found['problem']}"
    console.print(f"{line}: {found['out']}", markup=False)
    if found["skipped"]:
        console.print(f"{found['skipped']:,} rows were left out:", markup=False)
    for error in found["errors"][:10]:
        console.print(f"  row {error['row']}: {error['detail']}", markup=False)
