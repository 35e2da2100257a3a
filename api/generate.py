"""`POST /generate`: labelled rows of a shipped problem into the inbox, for the loop to ingest.

What generates is not installed where only the API is: a process of the command line does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import uuid4

import msgspec
from loguru import logger
from starlette.types import Receive, Scope, Send

import problems
from api.decoder import MALFORMED, malformed
from api.endpoint import Endpoint
from api.errors import ApiError
from api.exchange import read_body, send_json
from api.sql import generator_watermark
from storage.segments import sync_folder

ROWS_LIMIT = 100_000
SECONDS = 120.0
SHIPPED = Path(problems.__file__).resolve().parent
# Of the pipeline group: without it nothing can be generated here.
NEEDED = "pandas"
STATE = ".generated"

Drift = Literal["none", "sudden", "gradual", "incremental", "recurring"]


class GenerateBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `/generate` takes; ``of`` says what drifts."""

    rows: Annotated[int, msgspec.Meta(ge=1, le=ROWS_LIMIT)]
    drift: Drift = "none"
    of: Literal["inputs", "target", "both"] = "inputs"


_decoder = msgspec.json.Decoder(GenerateBody)


class Generate(Endpoint):
    """The endpoint of one problem."""

    required_scope = "admin"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer once the file is in the inbox."""
        self._runtime.gate.check(scope, self.required_scope)
        try:
            body = _decoder.decode(await read_body(scope, receive))
        except MALFORMED as error:
            raise malformed(error, f"rows (1 to {ROWS_LIMIT}), drift and of") from None
        if not has_generator(self._folders(), self._problem):
            raise ApiError(404, "no_generator", "this problem has no generator")
        if importlib.util.find_spec(NEEDED) is None:
            detail = "the generators are not installed here; they come with the pipeline group"
            raise ApiError(501, "not_installed", detail)
        inbox = self._runtime.settings.home / "inbox" / self._problem
        inbox.mkdir(parents=True, exist_ok=True)
        with _turn(inbox / STATE) as state:
            first = max(_number(state), await self._n_ingested())
            name = await self._generate(inbox, body, first)
            _remember(state, first + body.rows)
        document = {
            "problem": self._problem,
            "file": f"inbox/{self._problem}/{name}",
            "n_rows": body.rows,
            "first_row": first,
            "drift": body.drift,
        }
        await send_json(send, msgspec.json.encode(document))

    def _folders(self) -> list[Path]:
        own = self._runtime.settings.problems
        return [SHIPPED] if own is None else [own, SHIPPED]

    async def _n_ingested(self) -> int:
        with contextlib.suppress(ApiError):  # then the file alone says how far it went
            return await self._runtime.ask(generator_watermark, self._problem)
        return 0

    async def _generate(self, inbox: Path, body: GenerateBody, first: int) -> str:
        """Name of the file that was generated and is now in the inbox."""
        name = f"generated-{first:09d}-{first + body.rows:09d}-{uuid4().hex[:6]}.parquet"
        draft = inbox / f".{name}"  # the loop passes over names that begin with a dot
        asked = [f"--problem={self._problem}", f"--rows={body.rows}", f"--first={first}"]
        if body.drift != "none":
            asked += [f"--drift={body.drift}", f"--of={body.of}", f"--start={first}"]
        try:
            await self._run([*asked, f"--out={draft}"])
            draft.rename(inbox / name)
            sync_folder(inbox)
        finally:
            draft.unlink(missing_ok=True)
        return name

    async def _run(self, arguments: list[str]) -> None:
        # With this process's own environment: it names the folders of problem files.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "cli", "generate", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(SECONDS):
                _, said = await process.communicate()
        except TimeoutError:
            logger.error("generate: no rows within {} s", SECONDS)
            raise _failed() from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            logger.error("generate: exit {}: {}", process.returncode, said[-500:].decode())
            raise _failed()


def has_generator(folders: list[Path], problem: str) -> bool:
    """Whether the first file of this problem's name has a generator section."""
    import yaml  # not before somebody asks: it would make every start longer

    for folder in folders:
        try:
            content: Any = yaml.safe_load((folder / f"{problem}.yaml").read_text())
        except FileNotFoundError:
            continue
        except (OSError, ValueError, yaml.YAMLError):
            return False
        return isinstance(content, dict) and bool(content.get("generator"))
    return False


@contextlib.contextmanager
def _turn(path: Path) -> Iterator[int]:
    """Descriptor of a problem's state file, held by one request of all workers at a time."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    except BlockingIOError:
        detail = "rows of this problem are being generated; ask again soon"
        raise ApiError(503, "busy", detail, {"Retry-After": "5"}) from None
    finally:
        os.close(descriptor)


def _number(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0)
    return int(text) if text.isdigit() else 0


def _remember(descriptor: int, n_rows: int) -> None:
    os.pwrite(descriptor, b"%d" % n_rows, 0)


def _failed() -> ApiError:
    return ApiError(500, "generate_failed", "no rows were generated; the log says why")
