"""Sources of HTTP: one GET, its rules kept, its answer as rows."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpcore
import pandas as pd

from learning.cursors import Position
from learning.sources import HttpSource
from storage.source_connections import AllowedBackend, Deadline
from storage.source_errors import SourceDownError, SourceError
from storage.tabular import read_open_table
from storage.tabular_error import TableError
from storage.tabular_json import json_lines, json_rows

CONNECT_SECONDS = 10
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
ACCEPTED = {
    "json": "application/json",
    "jsonl": "application/x-ndjson, application/json",
    "csv": "text/csv",
}


def read_rows(
    source: HttpSource, token: str | None, position: Position | None
) -> list[dict[str, Any]]:
    """The rows that an endpoint answers behind a position, in its own order.

    Raises SourceDownError where another try may help (no answer, 429, 5xx), SourceError for an
    answer that the rules refuse, and TableError for one that is no table.
    """
    content = _get(source, _address(source, position), token)
    if content is None:
        return []
    name = f"the answer of {urlsplit(source.url).hostname}"
    if source.format == "json":
        return json_rows(content, name, source.rows)
    if not content.strip():
        return []
    if source.format == "jsonl":
        return json_lines(content, name)
    try:
        frame = read_open_table(io.BytesIO(content), f"{name}.csv")
    except TableError as error:
        if error.code == "no_rows":
            return []
        raise
    records = frame.to_dict("records")
    return [{str(k): None if pd.isna(v) else v for k, v in row.items()} for row in records]


def _address(source: HttpSource, position: Position | None) -> str:
    if position is None:
        return source.url
    parts = urlsplit(source.url)
    name = source.cursor_parameter or source.cursor
    asked = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != name]
    asked.append((name, str(position.value)))
    return urlunsplit(parts._replace(query=urlencode(asked), fragment=""))


def _get(source: HttpSource, url: str, token: str | None) -> bytes | None:
    """The body of an answer; None for 204, which says that there is no news."""
    deadline = Deadline(source.timeout_seconds)
    seconds = source.timeout_seconds
    timeouts = {"connect": min(CONNECT_SECONDS, seconds), "read": seconds, "write": seconds}
    headers: dict[bytes | str, bytes | str] = {"Accept": ACCEPTED[source.format]}
    headers["Accept-Encoding"] = "identity"
    headers["User-Agent"] = "perennial"
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    # httpcore follows no redirects and knows no proxies: what is asked is what was checked.
    pool = httpcore.ConnectionPool(network_backend=AllowedBackend(source.hosts, deadline))
    try:
        with (
            pool,
            pool.stream("GET", url, headers=headers, extensions={"timeout": timeouts}) as answer,
        ):
            _refuse(source, answer)
            return None if answer.status == 204 else _body(source, answer)
    except httpcore.TimeoutException as error:
        raise SourceDownError(
            "timeout", f"{source.name}: no whole answer within {seconds:g} s"
        ) from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        said = str(error) or type(error).__name__
        raise SourceDownError("down", f"{source.name}: no answer: {said}") from error
    except (httpcore.UnsupportedProtocol, UnicodeError) as error:
        raise SourceError("url", f"{source.name}: the address cannot be asked: {error}") from error


def _refuse(source: HttpSource, answer: httpcore.Response) -> None:
    """Raise what the status or the headers of an answer stand for, unless all is well."""
    status = answer.status
    if 300 <= status < 400:
        raise SourceError(
            "redirect",
            f"{source.name}: found a redirect ({status}), which is not followed; write the final "
            "address into the problem file",
        )
    if status in BUSY or status >= 500:
        raise SourceDownError("busy", f"{source.name}: the server answers {status}")
    if not 200 <= status < 300:
        advice = "; check token_env" if status in (401, 403) else ""
        raise SourceError("status", f"{source.name}: the server answers {status}{advice}")
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1").lower()
        for name, value in answer.headers
    }
    _refuse_headers(source, headers)


def _refuse_headers(source: HttpSource, headers: Mapping[str, str]) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip()
    if kind in ("text/html", "application/xhtml+xml"):
        raise SourceError(
            "html",
            f"{source.name}: found a web page, perhaps a login; expected {source.format}",
        )
    if headers.get("content-encoding", "identity") != "identity":
        raise SourceError(
            "encoding",
            f"{source.name}: found a body of encoding {headers['content-encoding']!r}, which was "
            "not asked for",
        )
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > source.max_mb * 1024 * 1024:
        raise _too_large(source)


def _body(source: HttpSource, answer: httpcore.Response) -> bytes:
    """The body as far as it may go: an endless one is refused when it has become too long."""
    limit = source.max_mb * 1024 * 1024
    body = bytearray()
    for part in answer.iter_stream():
        body += part
        if len(body) > limit:
            raise _too_large(source)
    return bytes(body)


def _too_large(source: HttpSource) -> SourceError:
    return SourceError(
        "too_large",
        f"{source.name}: the answer is longer than {source.max_mb} MB; ask for fewer rows at "
        "once, or raise max_mb",
    )
