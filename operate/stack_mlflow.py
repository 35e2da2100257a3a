"""The MLflow server in one process: `python -m operate.stack_mlflow STORE ARTIFACTS PORT`.

`mlflow server` imports everything in the command's own process and once more in the server's: 13
more seconds and 250 MB more on a small machine. This does what the command does between the two.
"""

from __future__ import annotations

import os
import sys
import warnings

HOST = "127.0.0.1"
PROXIED_ARTIFACTS = "mlflow-artifacts:/"


def main(store: str, artifacts: str, port: int) -> None:
    """Create or migrate the tables, then serve until a signal ends it."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    import mlflow.server as server
    import uvicorn
    from mlflow.server.handlers import initialize_backend_stores

    os.environ.update(
        {
            server.BACKEND_STORE_URI_ENV_VAR: store,
            server.REGISTRY_STORE_URI_ENV_VAR: store,
            server.ARTIFACT_ROOT_ENV_VAR: PROXIED_ARTIFACTS,
            server.SERVE_ARTIFACTS_ENV_VAR: "true",
            server.ARTIFACTS_DESTINATION_ENV_VAR: artifacts,
        }
    )
    initialize_backend_stores(store, store, PROXIED_ARTIFACTS)
    uvicorn.run("mlflow.server.fastapi_app:app", host=HOST, port=port, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
