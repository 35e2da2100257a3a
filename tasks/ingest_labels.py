"""Late labels find their rows: each pair becomes one labelled observation."""

from __future__ import annotations

from learning import alert_text
from learning.rows import KEY, LABEL, Schema
from storage import batches, waiting_labels
from storage.database import reading
from storage.kill_points import reach
from storage.observations import known_keys, waiting_rows
from tasks.batch import Stored, append_rows
from tasks.ingest import Ingested
from tasks.run import Run
from tasks.step import step


@step("merge late labels", retries=True)
def merge_labels(run: Run) -> Ingested:
    """Bring waiting labels to the rows that are there by now.

    The row is stored again as it came, at its own event time, with its label; readers see it once.
    """
    schema = run.schema
    if schema is None:
        return Ingested("labels")
    _claim(run)
    with reading(run.engine) as connection:
        claims = waiting_labels.unfinished(connection, run.name)
    return Ingested.of("labels", [_merge(run, schema, batch_id) for batch_id in claims])


def _claim(run: Run) -> None:
    with reading(run.engine) as connection:
        keys = waiting_labels.waiting(connection, run.name)
    if not keys:
        return
    known = known_keys(run.store, run.name, keys, besides="")
    here = [key for key in keys if key in known]
    if here:
        with run.commit() as connection:
            waiting_labels.claim(connection, run.name, here, f"labels:{run.run_id}")
        reach("ingest.labels_claimed")


def _merge(run: Run, schema: Schema, batch_id: str) -> Stored:
    with reading(run.engine) as connection:
        labels = waiting_labels.claimed(connection, run.name, batch_id)
    rows = waiting_rows(run.store, run.name, list(labels), besides=batch_id)
    rows[LABEL] = rows[KEY].map(labels)
    for name in schema.names:
        if name not in rows:
            rows[name] = None
    version = append_rows(run, rows, schema, "labels", batch_id)
    stored = Stored(len(rows), 0, len(labels) - len(rows))
    with run.commit() as connection:
        known = f"{stored.n_repeated} labels of rows that have one" if stored.n_repeated else None
        is_new = batches.record_batch(
            connection,
            {
                "problem": run.name,
                "batch_id": batch_id,
                "source": "labels",
                "state": "ingested",
                "reason": known,
                "n_rows": stored.n_rows,
                "n_quarantined": 0,
                "data_version": version,
            },
        )
        waiting_labels.drop(connection, run.name, batch_id)
        if is_new and stored.n_rows:
            run.alert(connection, alert_text.batch_ingested("labels", stored.n_rows), batch_id)
    return stored
