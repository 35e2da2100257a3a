"""`perennial replay [DATA]`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from operate.terminal import JsonOption, ProblemOption, clear_errors, read_settings, show

DataArgument = Annotated[Path | None, typer.Argument(help="File; default: what is stored.")]
PolicyOption = Annotated[
    list[str] | None,
    typer.Option(help="never, every:1000, drift, performance, auto, always, river:arf…"),
]
DelayOption = Annotated[str | None, typer.Option(help="500 rows, or 7d; default: the problem's.")]
TargetOption = Annotated[
    str | None, typer.Option(help="Column to predict, where no problem is named.")
]
EventTimeOption = Annotated[str | None, typer.Option(help="Column of when it happened.")]
KeyOption = Annotated[str | None, typer.Option(help="Column that tells rows apart.")]
DropOption = Annotated[list[str] | None, typer.Option(help="Column to leave out.")]
ReportOption = Annotated[Path | None, typer.Option(help="Write the page with plots here.")]
ApplyOption = Annotated[
    bool, typer.Option("--apply", help="Set in the problem file what is recommended.")
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on where the last replay of this was stopped.")
]
WorkersOption = Annotated[int, typer.Option(min=1, help="Processes, one policy each.")]
SegmentsOption = Annotated[
    int, typer.Option(min=1, help="Parts of history, each replayed from its own start.")
]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Rows between two turns of the loop.")]
NewestOption = Annotated[
    int | None, typer.Option(min=1, help="Take only the last rows of the file.")
]
DriftAtOption = Annotated[
    list[int] | None, typer.Option(help="Row at which drift is known to begin.")
]


def replay(
    data: DataArgument = None,
    problem: ProblemOption = None,
    policy: PolicyOption = None,
    label_delay: DelayOption = None,
    target: TargetOption = None,
    event_time: EventTimeOption = None,
    key: KeyOption = None,
    drop: DropOption = None,
    report: ReportOption = None,
    apply: ApplyOption = False,
    resume: ResumeOption = False,
    workers: WorkersOption = 1,
    segments: SegmentsOption = 1,
    batch: BatchOption = None,
    newest: NewestOption = None,
    drift_at: DriftAtOption = None,
    as_json: JsonOption = False,
) -> None:
    """What would this loop have done with your history? Compares retraining policies."""
    from learning.replay_policies import USUAL
    from operate.replay import Asked

    with clear_errors():
        if apply and problem is None and data is not None:
            raise typer.BadParameter("--apply needs --problem: whose file should be changed?")
        asked = Asked(
            data=data,
            problem=problem,
            target=target,
            event_time=event_time,
            key=key,
            drop=tuple(name.strip() for part in drop or () for name in part.split(",") if name),
            policies=tuple(policy or USUAL),
            label_delay=None if label_delay is None else _span(label_delay),
            batch_rows=batch,
            newest=newest,
            n_segments=segments,
            drift_rows=tuple(drift_at) if drift_at else None,
        )
        found = _run(asked, report, workers, resume, apply, as_json)
        # Without --problem the rules were inferred from the file, and stand nowhere.
        has_file = data is None or problem is not None
        result = found.as_json()
        show(result, as_json, lambda console: _show(result, found, has_file, console))


def _run(
    asked: Any, report: Path | None, workers: int, resume: bool, apply: bool, is_quiet: bool
) -> Any:
    from operate.replay import apply_advice, plan_replay, run_replay

    settings = read_settings(quiet=True)
    plan, notes = plan_replay(settings, asked)
    try:
        with _Progress(plan, is_quiet) as on_progress:
            found = run_replay(settings, plan, notes, report, workers, resume, on_progress)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; the same command with --resume goes on")
        raise
    return found.with_applied(apply_advice(settings, found)) if apply else found


def _span(text: str) -> Any:
    from learning.spans import Span

    try:
        return Span.parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"--label-delay: {error}") from None


class _Progress:
    """A bar of all jobs together, with the time that is left; a line each tenth into a file."""

    def __init__(self, plan: Any, is_quiet: bool) -> None:
        self._console = Console(stderr=True)
        self._tells_tenths = not is_quiet and not self._console.is_terminal
        self._tenths, self._began = 0, time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=is_quiet or not self._console.is_terminal,
        )
        self._rows = dict.fromkeys(plan.jobs, 0)
        self._total = sum(len(plan.parts[job.segment]) for job in plan.jobs)
        self._task = self._bar.add_task("replay", total=self._total)

    def __enter__(self) -> Any:
        self._bar.start()
        return self._note

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def _note(self, job: Any, rows: int) -> None:
        self._rows[job] = rows
        done = sum(self._rows.values())
        self._bar.update(self._task, completed=done, description=f"{job.policy:>12}")
        tenths = 10 * done // max(1, self._total)
        if self._tells_tenths and tenths > self._tenths:
            self._tenths = tenths
            left = (time.monotonic() - self._began) * (self._total / done - 1)
            self._console.print(
                f"replay: {10 * tenths}% of {self._total:,} rows of all policies, "
                f"now {job.policy}; about {left:.0f} s left",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def _show(document: dict[str, Any], found: Any, has_file: bool, console: Console) -> None:
    from learning.replay_table import cells, facts

    for note in found.notes:
        console.print(f"· {note}", markup=False)
    head, rows = cells(found.result)
    table = Table(title=f"{found.problem.name}: {facts(found.result)}", padding=(0, 0))
    for place, name in enumerate(head):
        # The name of a policy is what a person copies from here.
        table.add_column(name, justify="left" if place == 0 else "right", no_wrap=place == 0)
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == document["best"] else None)
    console.print(table)
    console.print(document["recommendation"], style="bold", markup=False)
    if document["applied"]:
        console.print(f"written to {document['applied']}", markup=False)
    elif document["lines"]:
        console.print(
            "in the problem file (or run it again with --apply --resume):"
            if has_file
            else "in its problem file, which `perennial init` writes:"
        )
        console.print(document["lines"], markup=False)
    console.print(f"report: {document['report']}", markup=False)
