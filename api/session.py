"""A model ready to answer: verified, loaded, tried on its golden rows and warm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from api.batch_rows import BatchSchema
from api.graph import has_external_data
from api.intake import Intake
from storage.bundles import BundleError, read_bundle
from storage.encoding import RowEncoder
from storage.manifest import Manifest, RiskBand
from storage.pointers import Pointer

if TYPE_CHECKING:
    from api.canary import Canary

OUTPUTS = ["output"]
WARM_UP_ROWS = 20
REASON_LIMIT = 300
SEVERITY_FATAL = 4


@dataclass(frozen=True)
class ServedModel:
    """Everything an answer needs; replaced as a whole, never changed.

    ``canary`` answers a share of the requests instead.
    """

    pointer: Pointer
    manifest: Manifest
    session: Any
    encoder: RowEncoder
    labels: tuple[int | str, ...]
    intake: Intake
    bands: tuple[RiskBand, ...]
    schema: BatchSchema
    canary: Canary | None = None

    def is_named_by(self, pointer: Pointer) -> bool:
        """Whether a pointer names this very bundle."""
        return (self.pointer.bundle, self.pointer.version) == (pointer.bundle, pointer.version)

    def score(self, row: list[float]) -> list[float]:
        """Probabilities of the classes, or one value, for one encoded row."""
        matrix = np.array((row,), dtype=np.float32)
        return self.score_all(matrix)[0]

    def score_all(self, matrix: NDArray[np.float32]) -> list[list[float]]:
        """The same for each row of a float32 matrix."""
        output: list[list[float]] = self.session.run(OUTPUTS, {"input": matrix})[0].tolist()
        return output


def load_model(store: Path, pointer: Pointer) -> ServedModel:
    """The model that a pointer names.

    Raises BundleError with code ``missing``, ``truncated``, ``sha256``, ``manifest``, ``load``,
    ``inputs``, ``outputs``, ``golden`` or ``not_finite``.
    """
    try:
        bundle = read_bundle(store, pointer.problem, pointer.bundle)
    except OSError as error:
        raise BundleError("missing", f"the bundle cannot be read: {error.strerror}") from error
    manifest = bundle.manifest
    if manifest.version != pointer.version:
        raise BundleError(
            "manifest", f"found version {manifest.version}; the pointer says {pointer.version}"
        )
    session = _open(bundle.model)
    _check_input(session, len(manifest.features))
    _check_output(session, _width(manifest))
    _check_golden(session, manifest)
    labels: tuple[int | str, ...] = manifest.classes
    if manifest.class_type == "integer":
        labels = tuple(_integer(label) for label in manifest.classes)
    encoder = RowEncoder(manifest.features)
    # The highest first: the first that a probability reaches is its own.
    bands = sorted(manifest.risk_levels, key=lambda band: band.above, reverse=True)
    intake = Intake(manifest.features, encoder)
    schema = BatchSchema(manifest.features)
    return ServedModel(pointer, manifest, session, encoder, labels, intake, tuple(bands), schema)


def _open(model: bytes) -> Any:
    if has_external_data(model):
        raise BundleError("load", "the graph keeps tensors in other files; expected one file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = SEVERITY_FATAL
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions share no base
        raise BundleError("load", f"ONNX Runtime: {error}"[:REASON_LIMIT]) from error


def _check_input(session: Any, n_features: int) -> None:
    found = [(node.name, node.type, node.shape) for node in session.get_inputs()]
    if not _fits(found, "input", n_features):
        raise BundleError("inputs", f"found {found}; expected one float32 input [*, {n_features}]")


def _check_output(session: Any, width: int) -> None:
    found = [(node.name, node.type, node.shape) for node in session.get_outputs()]
    if not _fits(found, "output", width):
        raise BundleError("outputs", f"found {found}; expected one float32 output [*, {width}]")


def _fits(found: list[tuple[str, str, list[Any]]], name: str, width: int) -> bool:
    if len(found) != 1:
        return False
    its_name, kind, shape = found[0]
    is_free = len(shape) == 2 and not isinstance(shape[0], int)
    return its_name == name and kind == "tensor(float)" and is_free and _is_width(shape[1], width)


def _is_width(found: Any, expected: int) -> bool:
    # A converter may leave an output's width open; the golden rows then show it.
    return found == expected or not isinstance(found, int)


def _width(manifest: Manifest) -> int:
    if manifest.task == "regression":
        return 1
    n_classes = len(manifest.classes)
    if n_classes < 2 or (manifest.task == "binary" and n_classes != 2):
        raise BundleError("manifest", f"found {n_classes} classes for a {manifest.task} model")
    return n_classes


def _check_golden(session: Any, manifest: Manifest) -> None:
    golden = manifest.golden
    width = _width(manifest)
    try:
        inputs = np.array(golden.inputs, dtype=np.float32)
        expected = np.array(golden.outputs, dtype=np.float64)
        output = session.run(["output"], {"input": inputs})[0]
        for row in inputs[:WARM_UP_ROWS]:
            session.run(["output"], {"input": row[np.newaxis]})
    except Exception as error:
        raise BundleError("golden", f"the golden rows fail: {error}"[:REASON_LIMIT]) from error
    if not len(inputs) or expected.shape != output.shape or output.shape[1:] != (width,):
        raise BundleError(
            "golden", f"found answers of shape {output.shape}; expected {(len(inputs), width)}"
        )
    if not np.isfinite(output).all():
        raise BundleError("not_finite", "an answer to the golden rows is NaN or infinite")
    difference = float(np.abs(output - expected).max())
    if not difference <= golden.tolerance:
        raise BundleError(
            "golden", f"answers differ by {difference:.3g}; expected at most {golden.tolerance:.3g}"
        )


def _integer(label: str) -> int:
    try:
        return int(label)
    except ValueError as error:
        raise BundleError("manifest", "class_type is integer but a class is not one") from error
