"""Where Perennial runs: the only reader of the environment."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

CHECKOUT = Path(__file__).resolve().parent


class Settings(BaseSettings):
    """One frozen reading of the environment (and of ``.env`` in the working directory)."""

    model_config = SettingsConfigDict(
        env_prefix="PERENNIAL_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    home: Path = Path(".perennial")
    problems: Path | None = Field(None, description="folder searched before the shipped problems")
    active: Annotated[tuple[str, ...], NoDecode] = Field(
        ("maintenance",), description="problems that the loop and the API run, the default first"
    )
    database_url: SecretStr | None = None
    store_url: str | None = None
    mlflow_uri: str | None = None
    clock: Path | None = Field(
        None, description="file with the ISO time that the loop takes for the present"
    )
    source_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="folders that sources may read files of; none: the home's data folder"
    )
    log_level: str = "INFO"
    kill_at: str | None = Field(
        None, description="named point at which a process kills itself, to test what comes after"
    )

    api_host: str = "127.0.0.1"
    api_port: int = 8000
    api_workers: int = Field(1, ge=1, description="processes that answer behind the one port")
    api_token: SecretStr | None = Field(None, description="a token accepted beside the stored ones")
    api_insecure: bool = Field(False, description="answer without tokens; loopback only")
    api_rate_limit: float = Field(
        0.0, ge=0, description="requests a second of one token; 0 for no limit"
    )
    api_concurrency_limit: int = Field(
        512, ge=1, description="requests that one process answers at once"
    )
    journal_limit_mb: int = 1024

    ui_host: str = "127.0.0.1"
    ui_port: int = 8501
    ui_api_url: str | None = Field(None, description="the API as the status page reaches it")

    prefect_port: int = 4200
    mlflow_port: int = 5000
    prefect_api_url: str | None = Field(None, validation_alias=AliasChoices("PREFECT_API_URL"))
    discord_webhook_url: SecretStr | None = Field(
        None, validation_alias=AliasChoices("DISCORD_WEBHOOK_URL")
    )

    webhook_url: SecretStr | None = Field(None, description="alerts are posted there as JSON")
    webhook_secret: SecretStr | None = Field(None, description="signs what is posted there")
    smtp_host: str | None = Field(None, description="mail server for alerts")
    smtp_port: int = Field(587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "plain"] = "starttls"
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    email_from: str = "perennial@localhost"
    email_to: Annotated[tuple[str, ...], NoDecode] = Field((), description="who gets alerts")

    api_url: str | None = Field(None, description="the API as people open it, for links")
    prefect_ui_url: str | None = Field(None, description="Prefect's UI as people open it")
    mlflow_ui_url: str | None = Field(None, description="MLflow's UI as people open it")

    @field_validator("active", "email_to", "source_roots", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("store_url")
    @classmethod
    def _only_files(cls, value: str | None) -> str | None:
        if value is not None and "://" in value and not value.startswith("file://"):
            raise ValueError(
                f"found a {value.partition('://')[0]}:// address; bundles and pointers are kept "
                "on a file system so far: expected file:///a/folder that all parts can reach"
            )
        return value

    @field_validator("home", "problems", "clock")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().resolve() if value is not None else None

    @field_validator("source_roots")
    @classmethod
    def _all_absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.expanduser().resolve() for path in value)

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders below which sources may read local files; relative patterns begin there."""
        return self.source_roots or (self.home / "data",)

    def secret(self, variable: str) -> str | None:
        """A secret that a problem file names by its variable; None where it is not set.

        Read at each call, from the environment or else from ``.env``, and kept nowhere.
        """
        found = os.environ.get(variable) or dotenv_values(".env").get(variable)
        return found or None

    @property
    def sql_url(self) -> str:
        """SQLAlchemy URL of the system database."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home / 'perennial.db'}"

    @property
    def store(self) -> Path:
        """Root of bundles, pointers and Delta tables on the local file system."""
        if self.store_url is None:
            return self.home / "store"
        return Path(self.store_url.removeprefix("file://"))

    @property
    def tracking_uri(self) -> str:
        """MLflow tracking URI."""
        return self.mlflow_uri or f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def api_base(self) -> str | None:
        """Where people open the API; None when it listens everywhere and nobody said where."""
        if self.api_url:
            return self.api_url.rstrip("/")
        if self.api_host in {"0.0.0.0", "::", ""}:  # noqa: S104
            return None
        host = f"[{self.api_host}]" if ":" in self.api_host else self.api_host
        return f"http://{host}:{self.api_port}"

    @property
    def ui_api(self) -> str:
        """Where the status page asks the API."""
        if self.ui_api_url:
            return self.ui_api_url.rstrip("/")
        host = "127.0.0.1" if self.api_host in {"0.0.0.0", "::", ""} else self.api_host  # noqa: S104
        return (
            f"http://[{host}]:{self.api_port}" if ":" in host else f"http://{host}:{self.api_port}"
        )

    @property
    def prefect_base(self) -> str | None:
        """Where people open Prefect's UI, if it is known."""
        api = _shown(self.prefect_api_url)
        return _shown(self.prefect_ui_url) or (api.removesuffix("/api") if api else None)

    @property
    def mlflow_base(self) -> str | None:
        """Where people open MLflow's UI, if it is known."""
        return _shown(self.mlflow_ui_url) or _shown(self.mlflow_uri)


def _shown(url: str | None) -> str | None:
    """The address if a browser can open it and it carries no password."""
    if url is None or not url.startswith(("http://", "https://")) or "@" in url:
        return None
    return url.rstrip("/")


@lru_cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
