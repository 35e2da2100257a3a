"""The SQL tables: facts about predictions, feedback, checks, decisions and releases."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from storage.columns import BigId as BigId  # noqa: PLC0414 - others import it from here
from storage.columns import Json as Json  # noqa: PLC0414 - others import it from here
from storage.columns import UtcDateTime as UtcDateTime  # noqa: PLC0414 - others import it from here
from storage.columns import id_column as _id
from storage.columns import metadata as metadata  # noqa: PLC0414 - others import it from here
from storage.columns import name_column as _name
from storage.columns import time_column as _time
from storage.tables_alerts import alerts as alerts  # noqa: PLC0414 - others import it from here
from storage.tables_alerts import channels as channels  # noqa: PLC0414 - others import it from here
from storage.tables_alerts import deliveries as deliveries  # noqa: PLC0414 - others import it from here

schemas = Table(
    "schemas",
    metadata,
    _name("problem", primary_key=True),
    Column("schema", Json, nullable=False),
    _time("created_at"),
)

leases = Table(
    "leases",
    metadata,
    _name("problem", primary_key=True),
    Column("holder", String(128), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    _time("expires_at"),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", String(36), primary_key=True),
    _name("problem"),
    _name("flow"),
    Column("epoch", BigInteger, nullable=False),
    _name("state", comment="running, done, failed, abandoned"),
    Column("reason", Text),
    Column("flow_run_id", String(36)),
    _time("clock", nullable=True),
    _time("started_at"),
    _time("ended_at", nullable=True),
    Index(None, "problem", "flow", "started_at"),
    Index(None, "problem", "started_at"),
)

steps = Table(
    "steps",
    metadata,
    Column("run_id", String(36), primary_key=True),
    Column("step", String(64), primary_key=True),
    Column("input_hash", String(64), primary_key=True),
    Column("output", Json, nullable=False),
    _time("committed_at"),
)

batches = Table(
    "batches",
    metadata,
    _name("problem", primary_key=True),
    Column("batch_id", String(96), primary_key=True),
    Column("source", String(512), nullable=False),
    _name("state", comment="ingested or refused"),
    Column("reason", Text),
    Column("n_rows", Integer, nullable=False),
    Column("n_quarantined", Integer, nullable=False),
    Column("watermark", BigInteger, comment="feedback sequence or generator row reached"),
    Column("data_version", BigInteger),
    _time("ingested_at"),
    Index(None, "problem", "source", "watermark"),
    Index(None, "problem", "ingested_at"),
)

quarantine = Table(
    "quarantine",
    metadata,
    _id(),
    _name("problem"),
    Column("batch_id", String(96), nullable=False),
    Column("row_number", Integer, nullable=False),
    Column("quarantine_reason", Text, nullable=False),
    Column("row", Json, nullable=False),
    _time("quarantined_at"),
    _name("state", comment="waiting, releasing, released, repeated"),
    _time("event_time", nullable=True),
    Column("event_time_column", Text, comment="where event_time was read"),
    Column("release_id", String(96), comment="the batch that takes it into the observations"),
    Column("is_as_is", Boolean, comment="released past the rules that may be overruled"),
    Column("released_by", String(128)),
    Column("release_reason", Text),
    _time("released_at", nullable=True),
    UniqueConstraint("problem", "batch_id", "row_number"),
    Index(None, "problem", "state", "release_id"),
)

predictions = Table(
    "predictions",
    metadata,
    _id(),
    Column("prediction_id", String(64), nullable=False),
    _name("problem"),
    _name("model_version"),
    Column("key", String(256)),
    _time("event_time"),
    Column("features", Json, nullable=False, comment="values in schema order"),
    Column("prediction", Json, nullable=False),
    Column("probabilities", Json, comment="in the order of the classes"),
    Column("answer", Json, nullable=False, comment="the body that was sent"),
    _time("created_at"),
    UniqueConstraint("problem", "prediction_id"),
    Index(None, "problem", "event_time"),
)

# How far each outside source was read, moved in the transaction that notes the rows' batch.
source_positions = Table(
    "source_positions",
    metadata,
    _name("problem", primary_key=True),
    _name("source", primary_key=True),
    Column("part", String(64), primary_key=True, comment="digest of a file's path, or empty"),
    Column("position", Json, nullable=False),
    _time("moved_at"),
)
source_failures = Table(
    "source_failures",
    metadata,
    _name("problem", primary_key=True),
    _name("source", primary_key=True),
    Column("reason", Text, nullable=False),
    _time("since"),
)
# Labels that came without their row, until it is there.
waiting_labels = Table(
    "waiting_labels",
    metadata,
    _name("problem", primary_key=True),
    Column("key", Text, primary_key=True),
    Column("label", Json, nullable=False),
    Column("source", String(512), nullable=False),
    _time("received_at"),
    Column("claimed_by", String(96), comment="the batch that brings it to its row"),
    Index(None, "problem", "claimed_by"),
)
feedback = Table(
    "feedback",
    metadata,
    _id(),
    _name("problem"),
    Column("prediction_id", String(64), nullable=False),
    Column("actual", Json, nullable=False),
    _time("observed_at"),
    _time("received_at"),
    Column("token_id", String(64)),
    Column("batch_id", String(96), comment="the batch that took it into the observations"),
    UniqueConstraint("problem", "prediction_id"),
    Index(None, "problem", "batch_id"),
)

drift_results = Table(
    "drift_results",
    metadata,
    _id(),
    Column("run_id", String(36), nullable=False),
    _name("problem"),
    _name("model_version"),
    Column("is_drifted", Boolean, nullable=False),
    Column("drift_share", Float),
    Column("n_reference", Integer, nullable=False),
    Column("n_current", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("features", Json, nullable=False),
    Column("watched", Json, comment="groups, predictions, labels, errors, all features at once"),
    Column("report", String(512), comment="Evidently's document, below the home folder"),
    Column("shapes", Json, comment="of the current window: counts by feature"),
    _time("clock"),
    _time("checked_at"),
    UniqueConstraint("run_id"),
    Index(None, "problem", "checked_at"),
)

performance_metrics = Table(
    "performance_metrics",
    metadata,
    _id(),
    Column("run_id", String(36), nullable=False),
    _name("problem"),
    _name("model_version"),
    _name("metric"),
    Column("value", Float),
    Column("low", Float),
    Column("high", Float),
    Column("n_rows", Integer, nullable=False),
    Column("label_share", Float, comment="of mature predictions whose label arrived"),
    Column("is_below_floor", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("metrics", Json, nullable=False),
    Column("floor", Float),
    Column("intervals", Json, comment="low and high by metric"),
    Column("rivals", Json, comment="no change, frozen first model, dummy"),
    Column("slices", Json),
    _time("clock"),
    _time("measured_at"),
    UniqueConstraint("run_id"),
    Index(None, "problem", "measured_at"),
)

performance_estimates = Table(
    "performance_estimates",
    metadata,
    _id(),
    Column("run_id", String(36), nullable=False),
    _name("problem"),
    _name("model_version"),
    _name("metric"),
    Column("value", Float),
    Column("low", Float),
    Column("high", Float),
    Column("n_rows", Integer, nullable=False),
    Column("floor", Float),
    Column("is_below_floor", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("oldest_id", BigInteger, nullable=False, comment="of the predictions it is about"),
    Column("newest_id", BigInteger, nullable=False),
    Column("realised", Float, comment="the same metric by the labels of these predictions"),
    Column("realised_rows", Integer, comment="how many of them had their label by then"),
    Column("error", Float, comment="realised less estimated"),
    Column("is_covered", Boolean, comment="whether the interval held what was realised"),
    _time("clock"),
    _time("estimated_at"),
    _time("settled_at", nullable=True),
    UniqueConstraint("run_id"),
    Index(None, "problem", "model_version"),
)

decisions = Table(
    "decisions",
    metadata,
    _id(),
    Column("run_id", String(36), nullable=False),
    _name("problem"),
    _name("kind", comment="retrain or gate"),
    Column("go", Boolean, nullable=False),
    _name("trigger", nullable=True),
    Column("reason", Text, nullable=False),
    Column("evidence", Json, nullable=False),
    _time("clock"),
    _time("decided_at"),
    UniqueConstraint("run_id", "kind"),
    Index(None, "problem", "kind", "decided_at"),
)

models = Table(
    "models",
    metadata,
    _name("problem", primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("run_id", String(36), nullable=False, comment="of the loop run that trained it"),
    _name("state", comment="candidate, waiting, challenger, champion, archived, refused"),
    Column("bundle", String(64), comment="name of the bundle folder"),
    Column("sha256", String(64)),
    Column("mlflow_run_id", String(64)),
    Column("mlflow_version", Integer),
    Column("metrics", Json, nullable=False),
    Column("figures", Json, comment="numbers behind the pictures of its evaluation"),
    Column("reason", Text),
    Column("data_version", BigInteger),
    Column("lineage", Json, comment="rows, problem file, code, libraries and seed"),
    _time("clock"),
    _time("trained_at"),
    UniqueConstraint("problem", "run_id"),
)

releases = Table(
    "releases",
    metadata,
    _name("problem", primary_key=True),
    Column("generation", BigInteger, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("bundle", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    _name("state", comment="pending, promoted, rolled_back_to, refused"),
    Column("actor", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    _time("clock"),
    _time("started_at"),
    _time("acknowledged_at", nullable=True),
)

rollouts = Table(
    "rollouts",
    metadata,
    _id(),
    _name("problem"),
    _name("stage", comment="shadow, canary, probation"),
    Column("version", Integer, nullable=False, comment="the newer one"),
    Column("bundle", String(64), nullable=False),
    Column("against", Integer, nullable=False, comment="the version that it is compared with"),
    Column("against_bundle", String(64), nullable=False),
    _name("state", comment="running, passed, failed, ended"),
    Column("generation", BigInteger, nullable=False, comment="of the release that began it"),
    Column("share", Float, nullable=False, comment="of requests that the version answers"),
    Column("first_id", BigInteger, nullable=False, comment="predictions with a larger id count"),
    Column("reason", Text, nullable=False, comment="why it began, then what was seen last"),
    Column("evidence", Json, nullable=False),
    _time("clock"),
    _time("began_at"),
    _time("ended_clock", nullable=True),
    _time("ended_at", nullable=True),
    UniqueConstraint("problem", "generation", "stage"),
    Index(None, "problem", "state"),
)

# Written by storage.ledger alone: each row's hash is over the row and the hash before it.
ledger = Table(
    "ledger",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _time("at"),
    _name("problem", nullable=True, comment="none: the whole installation"),
    _name("act", comment="promoted, rolled_back_to, refused, token created, policy changed, …"),
    Column("subject", String(128), nullable=False, comment="a version, a token, a policy's hash"),
    Column("generation", BigInteger, comment="of a release"),
    Column("actor", String(128), nullable=False),
    _name("decided_by", comment="loop, canary, rollback, person"),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False, comment="JSON, as it was hashed"),
    Column("previous_hash", String(64), nullable=False, unique=True),
    Column("hash", String(64), nullable=False),
    Index(None, "problem", "act", "seq"),
)

tokens = Table(
    "tokens",
    metadata,
    _name("token_id", primary_key=True),
    Column("secret_sha256", String(64), nullable=False),
    Column("scopes", Json, nullable=False),
    Column("label", String(256)),
    _time("created_at"),
    _time("expires_at", nullable=True),
    _time("revoked_at", nullable=True),
)
