"""The seeded generator as a source: it goes on where it stopped."""

from __future__ import annotations

from learning.generator import generate
from storage import batches
from storage.database import reading
from tasks.batch import store_batch
from tasks.ingest import Ingested
from tasks.run import Run
from tasks.step import step


@step("ingest generated rows", retries=True)
def ingest_generator(run: Run) -> Ingested:
    """Add the next rows of the problem's seeded generator, if it is one of the sources."""
    generator = run.problem.generator
    if generator is None or "generator" not in run.problem.sources:
        return Ingested("generator")
    with reading(run.engine) as connection:
        first = batches.watermark(connection, run.name, "generator")
    n_rows = generator.rows_per_run if first else generator.bootstrap_rows
    if not n_rows:
        return Ingested("generator")
    return generate_rows(run, first, n_rows)


def generate_rows(run: Run, first: int, n_rows: int) -> Ingested:
    """Store generated rows ``first`` to ``first + n_rows`` as one batch."""
    frame = generate(run.problem, n_rows, first)
    batch_id = f"generator:{first}-{first + n_rows}"
    stored = store_batch(run, frame, "generator", batch_id, watermark=first + n_rows)
    return Ingested.of("generator", [stored])
