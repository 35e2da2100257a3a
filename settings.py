"""Where Perennial runs: the only reader of the environment."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated

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
    log_level: str = "INFO"

    api_host: str = "127.0.0.1"
    api_port: int = 8000
    api_token: SecretStr | None = Field(None, description="a token accepted beside the stored ones")
    api_insecure: bool = Field(False, description="answer without tokens; loopback only")
    api_rate_limit: float = Field(
        0.0, ge=0, description="requests a second of one token; 0 for no limit"
    )
    api_concurrency_limit: int = Field(
        512, ge=1, description="requests that one process answers at once"
    )
    journal_limit_mb: int = 1024

    prefect_port: int = 4200
    mlflow_port: int = 5000
    prefect_api_url: str | None = Field(None, validation_alias=AliasChoices("PREFECT_API_URL"))
    discord_webhook_url: SecretStr | None = Field(
        None, validation_alias=AliasChoices("DISCORD_WEBHOOK_URL")
    )

    @field_validator("active", mode="before")
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


@lru_cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
