"""How well the served model does, beside what it must be better than."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st
from sqlalchemy import Row

from learning.phrases import RIVALS, figure
from storage import estimates, performance, releases
from ui.figures import performance_figure, settled_figure, slices_figure
from ui.parts import draw, empty, table, tiles
from ui.scene import Scene
from ui.words import amount, literal, share

N_POINTS, N_RELEASES, N_SETTLED = 400, 50, 100


def show(scene: Scene) -> None:
    """The course over time, the newest figures, slices, and estimates without labels."""
    with scene.tables() as connection:
        course = performance.course_of_performance(connection, scene.problem, N_POINTS)
        newest = performance.latest_performance(connection, scene.problem)
        guessed = estimates.course_of_estimates(connection, scene.problem, N_POINTS)
        settled = estimates.settled_estimates(connection, scene.problem, N_SETTLED)
        acts = releases.release_history(connection, scene.problem, N_RELEASES)
    if newest is None and not guessed:
        _begin()
        return
    st.markdown(literal(newest.reason if newest is not None else guessed[-1].reason))
    if newest is not None:
        _tiles(newest)
    first = min([*(one["clock"] for one in course), *(one.clock for one in guessed)])
    shown = [act for act in acts if act.clock >= first]
    drawn = performance_figure(course, guessed, shown)
    draw(drawn, "course", "live metric over time with its interval, rivals, floor and releases")
    if newest is None:
        st.caption("Dashed: estimated from the predictions alone, until labels arrive.")
    else:
        _beside(newest)
        _slices(newest)
    _estimates(settled)


def _begin() -> None:
    empty(
        "Nothing was measured yet",
        "Performance is measured on predictions whose label is known. Send the labels as they "
        "come, by prediction id; the loop measures at its next turn.",
        'curl -s http://127.0.0.1:8000/feedback -H "Authorization: Bearer $TOKEN" \\\n'
        '  -d \'{"prediction_id": "customer-4711", "actual": "yes"}\'',
    )


def _tiles(newest: Row[Any]) -> None:
    colour = "red" if newest.is_below_floor else "green"
    value = "–" if newest.value is None else f":{colour}[{newest.value:.3f}]"
    band = "" if newest.low is None else f"{newest.low:.3f} to {newest.high:.3f}"
    floor = "no floor is set" if newest.floor is None else f"floor {newest.floor:.3f}"
    tiles(
        [
            (f"Live {newest.metric}", value, literal(f"{band}; {floor}")),
            ("Labels", amount(newest.n_rows), f"{share(newest.label_share)} have arrived"),
            ("Version", str(newest.model_version), "that the figure is of"),
        ]
    )


def _beside(newest: Row[Any]) -> None:
    left, right = st.columns(2)
    with left:
        st.subheader("Beside it")
        if newest.rivals:
            table(
                [
                    {
                        "rival": RIVALS.get(one["name"], one["name"]),
                        newest.metric: figure(one["value"]),
                        "gain of the served model": figure(
                            one["gain"], one["gain_low"], one["gain_high"]
                        ),
                        "rows": one["n_rows"],
                    }
                    for one in newest.rivals
                ]
            )
        else:
            st.caption("Nothing was measured beside it.")
    with right:
        st.subheader("All metrics")
        intervals = newest.intervals or {}
        if not newest.metrics:
            st.caption("None can be measured yet.")
            return
        table(
            [
                {"metric": name, "value": figure(value, *intervals.get(name, (None, None)))}
                for name, value in newest.metrics.items()
            ]
        )


def _slices(newest: Row[Any]) -> None:
    if not newest.slices:
        return
    st.subheader("By slice")
    drawn = slices_figure(newest.slices, newest.metric)
    draw(drawn, "slices", f"{newest.metric} of each slice with its interval")


def _estimates(settled: Sequence[Row[Any]]) -> None:
    if not settled:
        return
    st.subheader("Estimates, and what the labels said later")
    held = sum(bool(one.is_covered) for one in settled)
    error = sum(one.error for one in settled) / len(settled)
    st.caption(f"{held} of {len(settled)} intervals held; off by {error:+.3f} on average.")
    draw(settled_figure(settled), "settled", "estimated against realised performance")
