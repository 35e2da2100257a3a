"""Roll back: a person moves the champion, with or without the database."""

from __future__ import annotations

from pathlib import Path

import msgspec

from storage import releases
from storage.bundles import BundleError, read_bundle
from storage.pointers import Former, Pointer, pointer_path, read_pointer
from tasks.asked import AskedInVainError
from tasks.reconcile import import_acts
from tasks.run import Run
from tasks.step import step


class RollbackError(AskedInVainError):
    """There is nothing to roll back to; the message says what was looked for."""


def roll_back(store: Path, problem: str, to: int | None, actor: str, reason: str) -> Pointer:
    """Point servers at a former bundle, or at version ``to``; needs files only.

    While a canary answers, going back means that the champion answers everybody again. Whatever is
    chosen, no candidate stands beside it.

    The tables learn of it at the next run of the loop. Raises RollbackError when no reason is given
    or there is no such bundle, BundleError when it is damaged.
    """
    if not reason.strip():
        raise RollbackError(
            f"{problem}: a person's choice of version needs a reason, which the ledger keeps: "
            "found none"
        )
    try:
        pointer = read_pointer(store, problem)
    except msgspec.MsgspecError:
        raise RollbackError(
            f"{problem}: the file that says what is served, {pointer_path(store, problem)}, cannot "
            "be read; `perennial run maintain` writes it again from the database"
        ) from None
    if pointer is None:
        raise RollbackError(f"{problem}: nothing was ever promoted: nothing to go back to")
    target = _find(store, pointer, to)
    read_bundle(store, problem, target.bundle)
    return releases.point(
        store, problem, pointer.generation + 1, target, "rolled_back_to", actor, reason
    )


def _find(store: Path, pointer: Pointer, to: int | None) -> Former:
    own = Former(pointer.version, pointer.bundle)
    if pointer.candidate is not None and own.version == str(to):
        return own  # which takes the candidate away
    if pointer.candidate is not None and pointer.candidate.role == "canary" and to is None:
        return own
    others = [former for former in pointer.former if former.bundle != pointer.bundle]
    if to is None:
        # What was served before this version first was: a second rollback goes further back.
        bundles = [former.bundle for former in pointer.former]
        first = (
            len(bundles) - bundles[::-1].index(pointer.bundle) if pointer.bundle in bundles else 0
        )
        if older := [former for former in pointer.former[first:] if former in others]:
            return older[0]
        hint = f"; to serve {others[0].version} again, name it with --to" if others else ""
        raise RollbackError(
            f"{pointer.problem}: nothing was served before version {pointer.version}{hint}"
        )
    if str(to) == pointer.version:
        raise RollbackError(f"{pointer.problem}: version {to} is already served")
    for former in others:
        if former.version == str(to):
            return former
    for folder in (store / "bundles" / pointer.problem).glob("[0-9a-f]*"):
        try:
            bundle = read_bundle(store, pointer.problem, folder.name)
        except BundleError:
            continue
        if bundle.manifest.version == str(to):
            return Former(str(to), bundle.name)
    known = ", ".join(dict.fromkeys(former.version for former in others)) or "none"
    raise RollbackError(
        f"{pointer.problem}: no bundle of version {to}; versions served before: {known}"
    )


@step("serve a chosen version")
def serve_version(run: Run, version: int | None, reason: str) -> Pointer:
    """Roll back by a person's wish within a run, and write it down at once."""
    pointer = roll_back(run.store, run.name, version, "person", reason)
    import_acts(run)
    return pointer
