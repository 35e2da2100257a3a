"""The console script `perennial`: `serve` starts without the libraries of all other commands."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command that was asked for."""
    if sys.argv[1:2] == ["serve"]:
        # Looking for garbage while modules load takes a sixth of the start; `serve` begins again.
        gc.disable()
        from operate.serve_command import main as serve

        raise SystemExit(serve(sys.argv[2:]))
    from cli import main as run

    run()


if __name__ == "__main__":
    main()
