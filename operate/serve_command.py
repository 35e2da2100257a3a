"""`perennial serve`, read without what other commands are made with: a server that starts again
answers as soon as its own libraries are loaded.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from settings import Settings, get_settings

NO_RIGHT = 1
WRONG_INPUT = 2


def make_parser() -> argparse.ArgumentParser:
    """What `perennial serve` takes."""
    parser = argparse.ArgumentParser(prog="perennial serve", description="The API alone.")
    parser.add_argument(
        "--problem", action="append", metavar="NAME", help="problem to serve; may be repeated"
    )
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on")
    parser.add_argument("--workers", type=int, help="processes that answer")
    parser.add_argument("--bundle", metavar="URL", help="serve this bundle and no other")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Serve until asked to stop; the exit code is 2 for wrong input, 1 for a refusal."""
    options = make_parser().parse_args(arguments)
    try:
        _serve(options)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from operate.errors import input_errors, one_line, refusals

        if not isinstance(error, (*input_errors(), *refusals())):
            raise
        sys.stderr.write(f"perennial: {one_line(error)}\n")
        return WRONG_INPUT if isinstance(error, input_errors()) else NO_RIGHT
    return 0


def _serve(options: argparse.Namespace) -> None:
    from api.serve import fixed_settings, serve
    from storage.logs import setup_logging

    settings = get_settings()
    setup_logging(settings.log_level, json_lines=False)
    names: list[str] = options.problem or []
    if options.bundle is not None:
        settings, name = fixed_settings(settings, options.bundle)
        names = [name]
    for name in names:
        _check_name(settings, name)
    serve(settings, tuple(names or settings.active), options.host, options.port, options.workers)


def _check_name(settings: Settings, name: str) -> None:
    from storage.pointers import pointer_path

    if not pointer_path(settings.store, name).exists():
        # Takes a while to import, and what is served needs it not.
        from storage.problems import load_problem, problem_folders

        load_problem(name, problem_folders(settings))
