"""Why one stored prediction came out as it did."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.explain_stored import explain_prediction
from settings import Settings
from storage.database import open_engine, upgrade

LARGEST = 20


def explain_stored(
    settings: Settings, problem: str | None, prediction_id: str
) -> dict[str, Any] | None:
    """The answer of a prediction with its explanation, from the bundle that answered it.

    Looks through all active problems unless one is named; None when none has this id. Raises
    ExplanationError or BundleError when that model cannot explain it.
    """
    upgrade(settings.sql_url)
    engine = open_engine(settings.sql_url)
    try:
        for name in (problem,) if problem else settings.active:
            found = explain_prediction(engine, settings.store, name, prediction_id)
            if found is not None:
                return {"problem": name, **found}
    finally:
        engine.dispose()
    return None


def show_explanation(found: dict[str, Any], console: Console) -> None:
    """The largest contributions as a table that can be added up."""
    explanation = found["explanation"]
    scale = explanation["scale"]
    about = f" of {explanation['class']}" if "class" in explanation else ""
    console.print(
        f"{found['problem']}: {found['prediction']} by version {found['model_version']}; "
        f"{scale}{about}, {explanation['method']}",
        markup=False,
    )
    table = Table("feature", "value", "contribution")
    table.columns[2].justify = "right"
    contributions = explanation["contributions"]
    table.add_row("(base value)", "", f"{explanation['base_value']:+.4f}")
    for part in contributions[:LARGEST]:
        value = "missing" if part["value"] is None else str(part["value"])
        table.add_row(Text(part["feature"]), Text(value), f"{part['contribution']:+.4f}")
    if rest := contributions[LARGEST:]:
        total = sum(part["contribution"] for part in rest)
        table.add_row(f"({len(rest)} more, see --json)", "", f"{total:+.4f}")
    table.add_section()
    table.add_row(f"({scale})", "", f"{explanation['prediction_on_scale']:+.4f}")
    console.print(table)
