"""Customers of a telephone company and whether they leave: mixed types, about 25% leave."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.generators.draws import Columns, Floats, Source, lookup, pick

CONTRACTS = ("month-to-month", "one year", "two years")
INTERNET = ("fibre", "dsl", "none")
PAYMENTS = ("card", "bank transfer", "electronic check", "mailed check")
REGIONS = ("north", "south", "east", "west", "centre")
PLANS = ("basic", "plus", "premium")
DEVICES = ("android", "ios", "other")

CONTRACT_RISK = {"month-to-month": 1.5, "one year": -0.4, "two years": -1.8}
NEW_CONTRACT_RISK = {"month-to-month": -0.6, "one year": 0.9, "two years": 0.6}
INTERNET_RISK = {"fibre": 0.8, "none": -0.7}
PAYMENT_RISK = {"electronic check": 0.9, "card": -0.2}
PLAN_RISK = {"basic": 0.3, "premium": -0.4}


def features(rng: np.random.Generator, n: int, shift: Floats) -> Columns:
    """Customers; drift is a campaign that brings young, short-tenured ones on monthly contracts."""
    months = rng.gamma(1.8, 18.0, n) * np.exp(-0.6 * shift)
    charges = 25.0 + rng.gamma(4.0, 10.0, n) + 12.0 * shift
    age = np.clip(46.0 + 14.0 * rng.standard_normal(n) - 9.0 * shift, 18.0, 90.0)
    calls = rng.poisson(1.4 + 0.5 * np.clip(shift, 0.0, None))
    return {
        "tenure_months": np.clip(months, 0.0, 120.0).round(0),
        "monthly_charges": charges.round(2),
        "age": age.round(0),
        "support_calls": calls.astype(float),
        "usage_gb": rng.gamma(2.0, 12.0, n).round(1),
        "late_payments": rng.poisson(0.6, n).astype(float),
        "days_since_login": rng.exponential(9.0, n).round(0),
        "contract": pick(rng, CONTRACTS, (0.5, 0.25, 0.25), (0.65, 0.2, 0.15), shift),
        "internet": pick(rng, INTERNET, (0.45, 0.35, 0.2), (0.6, 0.25, 0.15), shift),
        "payment_method": pick(
            rng, PAYMENTS, (0.3, 0.25, 0.3, 0.15), (0.3, 0.25, 0.3, 0.15), shift
        ),
        "region": pick(rng, REGIONS, (0.2,) * 5, (0.2,) * 5, shift),
        "plan": pick(rng, PLANS, (0.4, 0.4, 0.2), (0.4, 0.4, 0.2), shift),
        "device": pick(rng, DEVICES, (0.5, 0.4, 0.1), (0.5, 0.4, 0.1), shift),
    }


def log_odds(columns: Mapping[str, NDArray[Any]], change: Floats) -> Floats:
    """Short tenure, monthly contracts, price and trouble make customers leave.

    Under drift, a rival that buys long contracts out turns tenure and contract around.
    """
    old = 1.0 - change
    tenure = np.log1p(columns["tenure_months"]) - 3.1
    price = (columns["monthly_charges"] - 65.0) / 20.0
    contract = columns["contract"]
    bound = old * lookup(contract, CONTRACT_RISK) + change * lookup(contract, NEW_CONTRACT_RISK)
    trouble = 0.55 * (columns["support_calls"] - 1.4) + 0.5 * (columns["late_payments"] - 0.6)
    absent = 0.07 * (columns["days_since_login"] - 9.0)
    habits = (
        lookup(columns["internet"], INTERNET_RISK)
        + lookup(columns["payment_method"], PAYMENT_RISK)
        + lookup(columns["plan"], PLAN_RISK)
    )
    return np.asarray(
        -2.45
        + bound
        + habits
        + trouble
        + absent
        + (0.8 - 0.3 * change) * price
        + (-1.0 * old + 0.8 * change) * tenure
    )


SOURCE = Source(
    features,
    log_odds,
    timedelta(minutes=10),
    "customer",
    {"usage_gb": 0.03, "age": 0.02, "payment_method": 0.01, "device": 0.02},
)
