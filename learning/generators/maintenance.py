"""Readings of milling machines and whether one fails soon: nonlinear, about 8% failures.

The ways to fail follow the AI4I 2020 data set (Matzka, "Explainable Artificial Intelligence for
Predictive Maintenance Applications", 2020): worn tools, lost cooling, power and overstrain.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.generators.draws import Columns, Floats, Source, lookup, pick

MACHINES = ("L", "M", "H")
LINES = ("north", "south", "west")
STURDINESS = {"L": 0.0, "M": 0.5, "H": 1.0}


def features(rng: np.random.Generator, n: int, shift: Floats) -> Columns:
    """Sensor readings; drift is a hot season on older machines that are worked harder."""
    machine = pick(rng, MACHINES, (0.6, 0.3, 0.1), (0.35, 0.35, 0.3), shift)
    line = pick(rng, LINES, (0.5, 0.3, 0.2), (0.3, 0.3, 0.4), shift)
    air = 300.0 + 2.0 * rng.standard_normal(n) + 1.8 * shift
    process = air + 10.0 + 1.0 * rng.standard_normal(n)
    load = rng.standard_normal(n)
    speed = 1540.0 - 150.0 * load + 60.0 * rng.standard_normal(n)
    torque = 40.0 + 8.5 * load + 4.0 * rng.standard_normal(n) + 7.0 * shift
    wear = np.clip(rng.uniform(0.0, 240.0, n) + 25.0 * shift, 0.0, 260.0)
    vibration = rng.gamma(6.0, 0.35, n) + 0.004 * wear + 0.7 * shift
    humidity = np.clip(50.0 + 10.0 * rng.standard_normal(n), 5.0, 95.0)
    return {
        "machine_type": machine,
        "production_line": line,
        "air_temperature": air.round(2),
        "process_temperature": process.round(2),
        "rotational_speed": speed.round(0),
        "torque": torque.round(2),
        "tool_wear": wear.round(1),
        "vibration": vibration.round(3),
        "humidity": humidity.round(1),
    }


def log_odds(columns: Mapping[str, NDArray[Any]], change: Floats) -> Floats:
    """Wear, lost cooling, strain and vibration add up.

    Under drift, a new kind of tool no longer minds wear and strain but fails in the cold and damp.
    """
    old = 1.0 - change
    torque, wear = columns["torque"], columns["tool_wear"]
    cooling = columns["process_temperature"] - columns["air_temperature"]
    strain = torque * wear / 1000.0 - 1.5 * lookup(columns["machine_type"], STURDINESS)
    worn = 1.5 * np.clip((wear - 150.0) / 50.0, 0.0, None)
    strained = 0.45 * np.clip(strain - 4.5, 0.0, None)
    uncooled = 1.6 * np.clip(9.4 - cooling, 0.0, None) * (columns["rotational_speed"] < 1600)
    shaken = 1.0 * (columns["vibration"] - 2.5)
    damp = 2.2 * np.clip((columns["humidity"] - 50.0) / 8.0, 0.0, None)
    fresh = 1.3 * np.clip((120.0 - wear) / 50.0, 0.0, None)
    return np.asarray(-5.3 + shaken + old * (worn + strained + uncooled) + change * (damp + fresh))


SOURCE = Source(
    features,
    log_odds,
    timedelta(minutes=1),
    "reading",
    {"vibration": 0.03, "humidity": 0.02, "torque": 0.01},
)
