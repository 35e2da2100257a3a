"""What every command shares: its options, its output, its exit codes."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console

from settings import Settings, get_settings

ProblemOption = Annotated[str | None, typer.Option("--problem", help="Name of the problem.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, nothing else.")]


PIPED_WIDTH = 1000  # columns: wider than any line of ours


def out() -> Console:
    """Console for what was asked for; in a pipe no line is broken, so that it can be searched."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def show(value: Any, as_json: bool, table: Callable[[Console], None]) -> None:
    """Print a value as one JSON document, or as a person reads it."""
    if as_json:
        from storage.database import dump_json

        sys.stdout.write(dump_json(value) + "\n")
        return
    table(out())


def fail(message: str, code: int) -> typer.Exit:
    """One clear message on stderr, and the exit that goes with it."""
    sys.stderr.write(f"perennial: {message}\n")
    return typer.Exit(code)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn what a user can mend into one line: exit 2 for wrong input, 1 for a refusal."""
    from operate.errors import input_errors, one_line, refusals

    try:
        yield
    except (typer.Exit, BrokenPipeError):
        raise
    except input_errors() as error:
        raise fail(one_line(error), 2) from None
    except refusals() as error:
        raise fail(one_line(error), 1) from None


def read_settings(quiet: bool = False) -> Settings:
    """The settings of this process, and its log set up; ``quiet`` where output is to be read."""
    from storage.logs import setup_logging

    settings = get_settings()
    setup_logging("ERROR" if quiet else settings.log_level, json_lines=False)
    return settings


def printable(value: Any) -> str:
    """A value from data as a terminal may show it: no control characters, which could steer it."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in str(value)
    )


def user_name() -> str:
    """Who sits at the keyboard, for the ledger."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "somebody"
