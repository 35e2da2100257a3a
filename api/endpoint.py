"""What the endpoints of one problem have in common."""

from __future__ import annotations

from api.errors import no_model
from api.runtime import Runtime
from api.session import ServedModel


class Endpoint:
    """Something of one problem that is asked at a path, as bare ASGI.

    A subclass names the scope that it asks for as ``required_scope``.
    """

    def __init__(self, runtime: Runtime, problem: str, path: str) -> None:
        self._runtime = runtime
        self._problem = problem
        self.path = path
        self._slot = runtime.slots[problem]

    def _served(self) -> ServedModel:
        """The model that answers now; read it once a request. Raises ApiError 503 before any."""
        model = self._slot.model
        if model is None:
            raise no_model()
        return model
