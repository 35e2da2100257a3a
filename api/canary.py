"""A candidate that answers a stable share of the requests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from api.errors import ApiError
from api.intake import Asked
from api.session import ServedModel, load_model
from api.speed import refuse_slow
from storage.bundles import BundleError
from storage.candidates import position
from storage.pointers import Pointer

BUNDLE = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, eq=False)
class Canary:
    """A loaded candidate, and the share of requests that it answers."""

    model: ServedModel
    share: float

    def takes(self, asked: Asked, content: bytes) -> bool:
        """Whether a request is its own: by key, else by the id it brings, else by its body."""
        name = asked.key or asked.prediction_id or content.decode("utf-8", "surrogateescape")
        manifest = self.model.manifest
        return position(manifest.problem, manifest.version, name) < self.share


def load_beside(store: Path, pointer: Pointer, champion: ServedModel) -> Canary | None:
    """The pointer's candidate, tried as any bundle is; None where it answers nobody.

    Raises BundleError, with code ``slow`` when it takes much longer than the champion.
    """
    candidate = pointer.candidate
    if candidate is None:
        return None
    if not BUNDLE.fullmatch(candidate.bundle):
        raise BundleError("pointer", "the candidate is no bundle of ours")
    own = msgspec.structs.replace(
        pointer, version=candidate.version, bundle=candidate.bundle, former=(), candidate=None
    )
    model = load_model(store, own)
    if model.manifest.task != champion.manifest.task:
        raise BundleError("manifest", "the candidate solves another task than the champion")
    refuse_slow(model, champion)
    return Canary(model, candidate.share) if candidate.role == "canary" else None


def answering(model: ServedModel, content: bytes) -> ServedModel:
    """The model that answers a body: the served one, or its canary. Raises ApiError."""
    canary = model.canary
    if canary is not None and canary.takes(model.intake.read(content), content):
        return canary.model
    return model


def fault(error: Exception) -> str | None:
    """What a candidate is to blame for; None when any model would have failed.

    It names a code or a type, never what the client sent.
    """
    if not isinstance(error, ApiError):
        return f"it failed on a request: {type(error).__name__}"
    if error.status in (422, 500):
        return f"it refused a request: {error.code}"
    return None
