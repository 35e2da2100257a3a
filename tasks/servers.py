"""Watch the API: its share of errors, and bundles that a server will not load."""

from __future__ import annotations

import time

import msgspec
from sqlalchemy import Connection

from learning import alert_text
from learning.error_rate import ErrorRate, judge_errors
from storage import releases
from storage.pointers import Acknowledgement, Pointer, acknowledgements, read_pointer
from storage.traffic import count_window
from tasks.run import Run
from tasks.step import step

N_RELEASES = 100


@step("watch the API")
def watch_servers(run: Run) -> ErrorRate:
    """Judge the errors of the last minutes and tell of trouble, and of its end.

    The wall clock counts here, whatever time the loop takes for the present.
    """
    rules = run.problem.alerts
    window = rules.error_window_seconds
    n_requests, n_errors = count_window(run.store, run.name, time.time(), window)
    rate = judge_errors(n_requests, n_errors, rules)
    refused = _refused(run)
    if not rate.is_testable and refused is None:
        return rate
    with run.commit() as connection:
        if rate.is_testable:
            say = alert_text.errors_high if rate.is_high else alert_text.errors_over
            run.alert(connection, say(rate, rules.error_share, window))
        if refused is not None:
            _tell_refused(connection, run, *refused)
    return rate


def _refused(run: Run) -> tuple[Pointer, Acknowledgement] | None:
    """The first live server that refuses what the pointer names, as after a restart."""
    try:
        pointer = read_pointer(run.store, run.name)
    except msgspec.MsgspecError:
        return None  # the next reconcile writes it again
    if pointer is None:
        return None
    for word in acknowledgements(run.store, run.name):
        if word.refused_code is not None and word.generation == pointer.generation:
            return pointer, word
    return None


def _tell_refused(
    connection: Connection, run: Run, pointer: Pointer, word: Acknowledgement
) -> None:
    history = releases.release_history(connection, run.name, N_RELEASES)
    versions = {row.generation: str(row.version) for row in history}
    serving = None
    if word.serving_generation:
        serving = versions.get(word.serving_generation, f"of release {word.serving_generation}")
    code, reason = word.refused_code or "load", word.refused_reason or "no reason given"
    refused = pointer.version
    if pointer.candidate is not None and word.serving_generation == pointer.generation:
        refused, serving = pointer.candidate.version, pointer.version
    alert = alert_text.bundle_refused(refused, serving, code, reason)
    run.alert(connection, alert, f"{pointer.generation}:{word.worker}")
