"""`perennial …`: the same flows by hand, and what a person asks of an installation.

Holds no logic, and imports what a command needs only inside it: `perennial serve` must start in
about a second and works where only the API's libraries are installed.
"""

from __future__ import annotations

import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from operate import quarantine_commands
from operate.backup_command import backup, restore
from operate.ledger_command import history, lineage, verify
from operate.predict_command import predict
from operate.replay_command import replay
from operate.terminal import JsonOption, ProblemOption, clear_errors, fail, show
from operate.terminal import read_settings as _settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
token = typer.Typer(no_args_is_help=True, help="API tokens with scopes.")
app.add_typer(token, name="token")
app.add_typer(quarantine_commands.app, name="quarantine")
app.command()(predict)
app.command()(history)
app.command()(verify)
app.command()(lineage)
app.command()(backup)
app.command()(restore)
app.command()(replay)


class FlowName(StrEnum):
    """The flows that can be run by hand."""

    INGEST = "ingest"
    MONITOR = "monitor"
    RETRAIN = "retrain"
    CONTINUAL = "continual"
    MAINTAIN = "maintain"
    PUBLISH = "publish"


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="CSV, CSV.gz or Parquet file.")],
    target: Annotated[str, typer.Option(help="Column to predict.")],
    name: Annotated[str | None, typer.Option(help="Name; default: the file's.")] = None,
    event_time: Annotated[str | None, typer.Option(help="Column of when it happened.")] = None,
    key: Annotated[str | None, typer.Option(help="Column that tells rows apart.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Column to leave out.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Infer a problem from a data file and write problems/NAME.yaml."""
    from operate.begin import init_problem, show_inferred

    with clear_errors():
        found = init_problem(
            _settings(quiet=True), data, target, name, event_time, key, tuple(drop or ()), force
        )
        show(found.as_json(), as_json, lambda console: show_inferred(found, console))


@app.command()
def run(
    flow: Annotated[FlowName, typer.Argument(help="Which flow.")],
    problem: ProblemOption = None,
    reason: Annotated[str, typer.Option(help="For retrain and publish: why.")] = "",
    version: Annotated[int | None, typer.Option(help="For publish: which version.")] = None,
    now: Annotated[datetime | None, typer.Option(help="The loop's time; default: now.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a flow once, with no Prefect server."""
    from operate.by_hand import run_flow, show_result

    with clear_errors():
        settings = _settings(quiet=as_json)
        result = run_flow(settings, flow.value, problem, reason, version, now)
        show(result, as_json, lambda console: show_result(flow.value, result, console))


@app.command()
def up() -> None:
    """Start everything: Prefect, the worker, MLflow and the API; Ctrl-C stops all of it."""
    from operate.stack import run_up

    with clear_errors():
        raise typer.Exit(run_up(_settings()))


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="Your own file.")] = None,
    target: Annotated[str | None, typer.Option(help="Column to predict.")] = None,
    event_time: Annotated[str | None, typer.Option(help="Column of when it happened.")] = None,
    key: Annotated[str | None, typer.Option(help="Column that tells rows apart.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Columns to leave out.")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder of the demo's files.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the whole story live: drift begins, the loop notices, retrains and swaps."""
    from operate.demo import run_demo

    with clear_errors():
        dropped = tuple(name.strip() for part in drop or () for name in part.split(",") if name)
        raise typer.Exit(run_demo(data, target, event_time, key, dropped, home, as_json))


@app.command()
def status(problem: ProblemOption = None, as_json: JsonOption = False) -> None:
    """Champion, freshness, drift, live performance and last runs of each problem."""
    from operate.status import read_status, show_status

    with clear_errors():
        found = read_status(_settings(quiet=True), problem)
        show(found, as_json, lambda console: show_status(found, console))


@app.command()
def rollback(
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")],
    to: Annotated[int | None, typer.Option(help="Version; default: the one before.")] = None,
    problem: ProblemOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a former version at once; needs neither the database nor MLflow nor Prefect."""
    from operate.by_hand import roll_back_now

    with clear_errors():
        done = roll_back_now(_settings(quiet=as_json), problem, to, reason)
        show(done, as_json, lambda console: console.print(done["message"]))


@app.command()
def drift(
    reference: Annotated[Path, typer.Argument(help="File of the reference rows.")],
    current: Annotated[Path, typer.Argument(help="File of the current rows.")],
    target: Annotated[str | None, typer.Option(help="Column to leave out as the target.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write Evidently's report here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """One drift check of two files, with no installation behind it; exit 1 when they differ."""
    from operate.compare import compare_files, show_comparison

    with clear_errors():
        _settings(quiet=True)
        result = compare_files(reference, current, target, report)
        show(result.as_json(), as_json, lambda console: show_comparison(result, console))
        raise typer.Exit(1 if result.is_drifted else 0)


@app.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
def serve(arguments: Annotated[list[str] | None, typer.Argument(metavar="OPTIONS")] = None) -> None:
    """The API alone; `perennial serve --help` tells its options."""
    from operate.serve_command import main as serve_api

    raise typer.Exit(serve_api(arguments or []))


@app.command()
def journal(as_json: JsonOption = False) -> None:
    """What waits for the database, as JSON lines: predictions and feedback, oldest first."""
    from storage.journal_reading import read_lines

    with clear_errors():
        lines = read_lines(_settings(quiet=True).home / "journal")
        if as_json:
            sys.stdout.write(f'{{"records": [{", ".join(lines)}]}}\n')
            return
        for line in lines:
            sys.stdout.write(line + "\n")


@app.command()
def explain(
    prediction_id: Annotated[str, typer.Argument(help="Id of a stored prediction.")],
    problem: ProblemOption = None,
    as_json: JsonOption = False,
) -> None:
    """Why one prediction came out as it did, by the model that answered it."""
    from operate.explain import explain_stored, show_explanation

    with clear_errors():
        found = explain_stored(_settings(quiet=True), problem, prediction_id)
        if found is None:
            raise fail(f"no stored prediction has the id {prediction_id!r}", 2)
        show(found, as_json, lambda console: show_explanation(found, console))


@app.command(hidden=True)
def worker(pool: str = "perennial") -> None:
    """Run flow runs of a Prefect work pool from a warm process."""
    from operate.worker import run_worker

    with clear_errors():
        _settings()
        run_worker(pool)


@app.command()
def generate(
    problem: Annotated[str, typer.Option("--problem", help="A shipped problem.")],
    rows: Annotated[int, typer.Option(min=1, help="How many rows.")] = 1000,
    drift: Annotated[str | None, typer.Option(help="none, sudden, gradual, …")] = None,
    of: Annotated[str, typer.Option(help="What drifts: inputs or target.")] = "inputs",
    start: Annotated[int, typer.Option(min=0, help="Row at which drift begins.")] = 0,
    first: Annotated[int, typer.Option(min=0, help="Number of the first row.")] = 0,
    out_file: Annotated[Path | None, typer.Option("--out", help="CSV or Parquet file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Rows of a shipped problem from its seeded generator, as CSV on stdout or to a file."""
    from operate.begin import generate_rows, write_rows

    with clear_errors():
        frame = generate_rows(_settings(quiet=True), problem, rows, drift, of, start, first)
        made = write_rows(frame, problem, out_file, as_json)
        if made is not None:
            text = f"{made['rows']:,} rows written to {out_file}"
            show(made, as_json, lambda console: console.print(text, markup=False))


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Check this installation; each finding says what to do. Exit 1 when something is wrong."""
    from operate import doctor as checks

    with clear_errors():
        findings = checks.examine(_settings(quiet=True))
        show(checks.as_json(findings), as_json, lambda console: checks.show(findings, console))
        raise typer.Exit(0 if checks.as_json(findings)["ok"] else 1)


@token.command("create")
def token_create(
    scope: Annotated[list[str], typer.Option(help="predict, feedback, read or admin.")],
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires_at: Annotated[datetime | None, typer.Option(help="When it stops working.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token; its secret is shown this once."""
    from operate.access import create

    with clear_errors():
        made = create(_settings(quiet=True), tuple(scope), label, expires_at)
        show(made, as_json, lambda console: console.print(made["token"]))


@token.command("list")
def token_list(as_json: JsonOption = False) -> None:
    """All tokens, without their secrets."""
    from operate.access import list_all, show_tokens

    with clear_errors():
        found = list_all(_settings(quiet=True))
        show(found, as_json, lambda console: show_tokens(found, console))


@token.command("revoke")
def token_revoke(
    token_id: Annotated[str, typer.Argument(help="Its id, as list tells it.")],
    as_json: JsonOption = False,
) -> None:
    """End a token; servers refuse it within a second."""
    from operate.access import revoke

    with clear_errors():
        if not revoke(_settings(quiet=True), token_id):
            raise fail(f"token {token_id!r} is not known; see `perennial token list`", 2)
        ended = {"id": token_id, "revoked": True}
        show(ended, as_json, lambda console: console.print(f"{token_id} is revoked"))


def main() -> None:
    """Console script `perennial`."""
    try:
        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
