"""Where rows come from: the types behind ``sources`` of a problem file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from learning.problem_rules import Section

BuiltIn: TypeAlias = Literal["inbox", "feedback", "generator"]
BUILT_IN: tuple[str, ...] = get_args(BuiltIn)
RESERVED = (*BUILT_IN, "labels", "quarantine")
SOURCE_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,47}$")
VARIABLE = re.compile(r"^[A-Z][A-Z0-9_]*$")
OPTIONS = "variable of the environment with options of the file system as JSON: keys, endpoint"


class OutsideSource(Section):
    """What all sources outside of Perennial have."""

    kind: str
    name: str

    @field_validator("name", check_fields=False)
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not SOURCE_NAME.match(value) or value in RESERVED:
            raise ValueError(
                f"found {value!r}; expected lower-case letters, digits, dots, dashes, at most 48, "
                f"and not {', '.join(RESERVED)}"
            )
        return value

    @field_validator("url_env", "token_env", "options_env", check_fields=False)
    @classmethod
    def _check_variable(cls, value: str | None) -> str | None:
        if value is not None and not VARIABLE.match(value):
            raise ValueError(
                "expected the name of a variable of the environment, such as ORDERS_URL; "
                "a secret itself never stands in a problem file"
            )
        return value

    @field_validator("url", check_fields=False)
    @classmethod
    def _refuse_secrets(cls, value: str) -> str:
        if "@" in urlsplit(value).netloc:
            raise ValueError(
                "found a user or password in an address; secrets come from the environment"
            )
        return value


class FilesSource(OutsideSource):
    """Files that match a pattern; each is read once, and again when it changes."""

    kind: Literal["files"] = Field(description="what this is")
    name: str = Field("files", description="tells sources apart")
    url: str = Field(description="pattern, as exports/*.csv or s3://bucket/rows/**/*.parquet")
    format: Literal["auto", "csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"] = Field(
        "auto", description="auto: by the end of each name"
    )
    options_env: str | None = Field(None, description=OPTIONS)
    max_mb: int = Field(1024, ge=1, description="a larger file is refused")


class SqlSource(OutsideSource):
    """A query of an SQLite or PostgreSQL database, read only, from the cursor's last value on."""

    kind: Literal["sql"] = Field(description="what this is")
    name: str = Field("sql", description="tells sources apart")
    url_env: str = Field(description="variable of the environment with the SQLAlchemy URL")
    query: str = Field(description="a SELECT without condition on the cursor; it is added")
    cursor: str = Field(description="column that only grows, such as an id or updated_at")
    page_rows: int = Field(10_000, ge=1, le=1_000_000, description="rows of one batch at most")
    timeout_seconds: float = Field(30, gt=0, le=600, description="for one statement")


class HttpSource(OutsideSource):
    """An endpoint that answers with rows as JSON or CSV, from the cursor's last value on."""

    kind: Literal["http"] = Field(description="what this is")
    name: str = Field("http", description="tells sources apart")
    url: str = Field(description="https:// or http:// address, with parameters if need be")
    hosts: tuple[str, ...] = Field(
        description="hosts that may be asked; a private address only if it, or its network as "
        "10.0.0.0/8, is listed",
        min_length=1,
    )
    format: Literal["json", "jsonl", "csv"] = Field("json", description="of the answer")
    rows: str = Field("", description="json: where the list of rows is, as data.items")
    cursor: str = Field(description="column that only grows; oldest rows come first")
    cursor_parameter: str | None = Field(
        None, description="parameter that takes the cursor's last value; none: as the column"
    )
    token_env: str | None = Field(
        None, description="variable of the environment with a bearer token"
    )
    max_mb: int = Field(64, ge=1, le=1024, description="a longer answer is refused")
    timeout_seconds: float = Field(30, gt=0, le=600, description="for a whole answer")

    @field_validator("hosts")
    @classmethod
    def _lower(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(host.lower() for host in value)

    @model_validator(mode="after")
    def _check_host(self) -> HttpSource:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url: found {self.url!r}; expected https://HOST/PATH")
        if parts.hostname not in self.hosts:
            raise ValueError(
                f"hosts: the url's host {parts.hostname!r} is not listed; list it if it may be "
                "asked"
            )
        if self.rows and self.format != "json":
            raise ValueError(f"rows: {self.format} has no place to name; remove it")
        return self


class DeltaSource(OutsideSource):
    """Another Delta table, from the version that was read last on."""

    kind: Literal["delta"] = Field(description="what this is")
    name: str = Field("delta", description="tells sources apart")
    url: str = Field(description="folder of the table, or an address such as s3://bucket/table")
    options_env: str | None = Field(None, description=OPTIONS)


Outside: TypeAlias = FilesSource | SqlSource | HttpSource | DeltaSource
KINDS: dict[str, type[OutsideSource]] = {
    "files": FilesSource,
    "sql": SqlSource,
    "http": HttpSource,
    "delta": DeltaSource,
}


def _nearest(value: object, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(value), known, n=1, cutoff=0.0)
    return f"did you mean {near[0]!r}?"


def _known(value: Any) -> Any:
    """The value if it is a word or kind that is known, or the error that names the nearest."""
    if isinstance(value, dict):
        kind = value.get("kind")
        if kind is None:
            raise ValueError(f"found no kind; expected one of {', '.join(KINDS)}")
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}; {_nearest(kind, tuple(KINDS))}")
    elif not isinstance(value, OutsideSource) and value not in BUILT_IN:
        known = ", ".join(BUILT_IN)
        raise ValueError(
            f"unknown source {value!r}; {_nearest(value, BUILT_IN)} Known are {known}, "
            f"and mappings with a kind ({', '.join(KINDS)})"
        )
    return value


def _kind_of(value: Any) -> str:
    if isinstance(value, dict):
        return str(value["kind"])
    return value.kind if isinstance(value, OutsideSource) else "word"


Source: TypeAlias = Annotated[
    Annotated[
        Annotated[BuiltIn, Tag("word")]
        | Annotated[FilesSource, Tag("files")]
        | Annotated[SqlSource, Tag("sql")]
        | Annotated[HttpSource, Tag("http")]
        | Annotated[DeltaSource, Tag("delta")],
        Discriminator(_kind_of),
    ],
    BeforeValidator(_known),
]


def source_name(source: str | OutsideSource) -> str:
    """What a source is called in tables, alerts and logs."""
    return source if isinstance(source, str) else source.name
