"""What every flow run needs, imported once in the fork server. Nothing else imports this module.

Importing prefect, scikit-learn, MLflow and Evidently takes more than ten seconds: too long for a
flow that runs every thirty.
"""

from __future__ import annotations

import gc
import pkgutil
import sys
from importlib import import_module

import flows
from operate.worker_life import die_with_parent

HEAVY = (
    "prefect.main",
    "prefect.flow_engine",
    "prefect.deployments.steps.pull",
    "pandas",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "onnxruntime",
    "deltalake",
    "mlflow",
    "skl2onnx",
    "evidently",
)


def preload() -> list[str]:
    """Import what it can and return the names of what it could not.

    A flow whose import fails must fail in its own run, where a person sees why, and must not stop
    the flows beside it.
    """
    missing = []
    names = [*HEAVY, *(f"flows.{module.name}" for module in pkgutil.iter_modules(flows.__path__))]
    for name in names:
        try:
            import_module(name)
        except Exception as error:
            missing.append(name)
            sys.stderr.write(f"worker: {name} is not preloaded: {type(error).__name__}: {error}\n")
    return missing


die_with_parent()
preload()
# Keeps the collector from touching, and so from copying, the pages that all children share.
gc.collect()
gc.freeze()
