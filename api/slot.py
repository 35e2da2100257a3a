"""The hot swap: follows a problem's pointer and replaces one reference."""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import msgspec
from loguru import logger

from api.canary import BUNDLE, Canary, load_beside
from api.explain_shelf import Shelf
from api.metrics import Metrics
from api.session import ServedModel, load_model
from api.speed import refuse_slow
from storage.bundles import BundleError, write_atomically
from storage.kill_points import reach
from storage.pointers import (
    Acknowledgement,
    Pointer,
    acknowledge,
    pointer_path,
    read_pointer,
    stay,
    withdraw,
)

POLL_SECONDS = 0.05
STAY_SECONDS = 1.0
# Causes that may pass by themselves, as when a shared store shows its files late.
PASSING = frozenset({"missing", "truncated"})


class Slot:
    """One problem's model in service. `model` is read once per request."""

    def __init__(self, store: Path, memory: Path, problem: str, metrics: Metrics) -> None:
        self.problem = problem
        self.model: ServedModel | None = None
        self.refusal: BundleError | None = None
        self.pointer: Pointer | None = None
        self.explainers = Shelf(store, problem)
        self._store = store
        self._memory = memory / f"{problem}.json"
        self._metrics = metrics
        self._worker = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"
        self._seen: tuple[int, ...] | None = None
        self._refused: tuple[int | None, str] | None = None
        self._unsaid: Acknowledgement | None = None
        self._blamed: tuple[Canary, str] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"slot-{problem}", daemon=True)

    def start(self) -> None:
        """Load what the pointer names, or the last good model, then follow the pointer."""
        self._look()
        if self.model is None:
            self._fall_back()
        self._thread.start()

    def stop(self) -> None:
        """Stop following; promoters no longer wait for this server."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.explainers.close()
        withdraw(self._store, self.problem, self._worker)

    def _follow(self) -> None:
        stayed_at = time.monotonic()
        while not self._stop.wait(POLL_SECONDS):
            try:
                if self._blamed is not None:
                    self._set_aside(*self._blamed)
                self._look()
                if time.monotonic() - stayed_at >= STAY_SECONDS:
                    stayed_at = time.monotonic()
                    self._stay()
            except Exception as error:  # the watcher outlives whatever the store does
                logger.error("slot {}: {}: {}", self.problem, type(error).__name__, error)

    def _stay(self) -> None:
        if self._unsaid is not None:
            self._say(self._unsaid)
        stay(self._store, self.problem, self._worker)
        if self.refusal is not None and self.refusal.code in PASSING and self.pointer:
            self._take(self.pointer)

    def _look(self) -> None:
        signature = _signature(pointer_path(self._store, self.problem))
        if signature == self._seen:
            return
        self._seen = signature
        try:
            pointer = read_pointer(self._store, self.problem)
        except (OSError, msgspec.MsgspecError):
            self._refuse(BundleError("pointer", "the pointer's file cannot be read"), None)
            return
        if pointer is None:
            if self.model is not None:
                self._refuse(BundleError("pointer", "the pointer's file is gone"), None)
        elif pointer.problem != self.problem or not BUNDLE.fullmatch(pointer.bundle):
            self._refuse(BundleError("pointer", "the pointer names no bundle of ours"), pointer)
        elif pointer != self.pointer or self.refusal is not None:
            self._take(pointer)

    def _take(self, pointer: Pointer) -> None:
        """Serve a pointer's bundle, or refuse it and go on as before."""
        self.pointer = pointer
        served = self.model.pointer if self.model else None
        if served is not None and pointer.generation < served.generation:
            found = f"found generation {pointer.generation} after {served.generation}"
            self._refuse(BundleError("generation", f"{found}; it only grows"), pointer)
            return
        try:
            model = self._load(pointer)
            reach("swap.bundle_loaded")
            if model is not self.model:
                self._swap(model)
            canary = load_beside(self._store, pointer, model)
        except BundleError as error:
            self._refuse(error, pointer)
            return
        if canary is not None:
            # One reference: whoever reads it has both, or the champion alone.
            self.model = replace(model, canary=canary)
        self.refusal = self._refused = None
        reach("swap.answering")
        self._say(Acknowledgement(self._worker, pointer.generation, pointer.generation))
        reach("swap.acknowledged")
        self._remember(pointer)

    def _load(self, pointer: Pointer) -> ServedModel:
        """The model that a pointer names; what is loaded already is not loaded again."""
        served = self.model
        if served is None:
            return load_model(self._store, pointer)
        if served.pointer == pointer:
            return served
        if served.is_named_by(pointer):
            return replace(served, pointer=pointer, canary=None)
        if served.canary is not None and served.canary.model.is_named_by(pointer):
            return replace(served.canary.model, pointer=pointer)
        model = load_model(self._store, pointer)
        if not _was_served(pointer):
            refuse_slow(model, served)
        return model

    def blame(self, canary: Canary, why: str) -> None:
        """Note that a canary failed where the champion did not; it is set aside at once."""
        self._blamed = canary, why

    def _set_aside(self, canary: Canary, why: str) -> None:
        self._blamed = None
        if self.model is not None and self.model.canary is canary:
            self._refuse(BundleError("answer", why), self.model.pointer)

    def _swap(self, model: ServedModel) -> None:
        self.model = model
        self._metrics.swapped(self.problem, model.manifest.version)
        pointer = model.pointer
        logger.info(
            "{}: version {} answers (generation {})",
            self.problem,
            pointer.version,
            pointer.generation,
        )

    def _refuse(self, error: BundleError, pointer: Pointer | None) -> None:
        self.refusal = error
        if self.model is not None and self.model.canary is not None:
            self.model = replace(self.model, canary=None)
        generation = pointer.generation if pointer else None
        if self._refused == (generation, str(error)):
            return
        self._refused = (generation, str(error))
        self._metrics.refused(error.code)
        logger.warning("{}: bundle refused ({}): {}", self.problem, error.code, error)
        if pointer is not None:
            self._say_refused(error, pointer)

    def _say_refused(self, error: BundleError, pointer: Pointer) -> None:
        serving = self.model.pointer.generation if self.model else 0
        generation = pointer.generation
        self._say(Acknowledgement(self._worker, generation, serving, error.code, str(error)))

    def _say(self, word: Acknowledgement) -> None:
        self._unsaid = word
        try:
            acknowledge(self._store, self.problem, word)
        except OSError as error:
            logger.warning("{}: cannot acknowledge: {}", self.problem, error.strerror)
        else:
            self._unsaid = None

    def _remember(self, pointer: Pointer) -> None:
        try:
            write_atomically(self._memory, msgspec.json.encode(pointer))
        except OSError as error:
            logger.warning("{}: cannot remember: {}", self.problem, error.strerror)

    def _fall_back(self) -> None:
        """Serve the last good model of an earlier process, when the pointer's is refused."""
        try:
            last = msgspec.json.decode(self._memory.read_bytes(), type=Pointer)
            model = load_model(self._store, last)
        except (OSError, msgspec.MsgspecError, BundleError) as error:
            logger.info("{}: no earlier model: {}", self.problem, type(error).__name__)
            return
        refusal = self.refusal or BundleError("pointer", "there is no pointer")
        self._swap(model)
        self.refusal = refusal
        if self.pointer is not None:
            self._say_refused(refusal, self.pointer)


def _was_served(pointer: Pointer) -> bool:
    """Whether this is a way back: a slow model that answered before may answer again."""
    return any(former.bundle == pointer.bundle for former in pointer.former)


def _signature(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
