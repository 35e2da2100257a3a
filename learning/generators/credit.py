"""Credit card accounts with 189 features in four groups, about 12% default.

A few hidden traits of each client (debt, discipline, income, stability, activity, distress) drive
many correlated columns; default depends on the traits as the columns show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.generators.draws import Columns, Floats, Source, lookup, pick

MONTHS = {
    "bureau": (1, 3, 6, 12, 24, 36),
    "transactions": (1, 3, 6, 12),
    "behaviour": (1, 3, 6, 12),
}
MEASURES = {
    "bureau": (
        "inquiries", "new_accounts", "delinquencies", "utilisation", "balance", "credit_limit",
        "missed_payments", "open_accounts", "days_past_due", "account_age",
    ),
    "transactions": (
        "spend", "income", "cash_withdrawals", "transfers_out", "transfers_in", "gambling",
        "groceries", "rent", "utilities", "travel", "fees", "refunds", "savings",
    ),
    "behaviour": (
        "app_logins", "card_declines", "overdraft_days", "minimum_payments", "full_payments",
        "limit_requests", "late_fees", "support_contacts", "disputes", "balance_swings",
        "night_purchases",
    ),
}  # fmt: skip
APPLICATION = (
    "age", "declared_income", "requested_limit", "months_at_address", "months_at_employer",
    "dependants", "monthly_rent", "other_loans", "loan_payments", "savings_balance",
    "current_account_age", "debt_to_income", "household_income", "household_size", "vehicles",
    "property_value", "mortgage_balance", "insurance_policies", "phone_account_age",
    "email_account_age", "form_minutes", "form_corrections", "documents_provided",
    "references_given", "prior_applications", "months_since_move", "commute_km",
)  # fmt: skip
CATEGORIES = {
    "home": ("rent", "mortgage", "own", "family"),
    "employment": ("permanent", "fixed term", "self-employed", "retired", "none"),
    "purpose": ("everyday", "travel", "refinancing", "business"),
    "channel": ("web", "app", "branch", "partner"),
    "education": ("school", "vocational", "degree", "postgraduate"),
    "region": ("north", "south", "east", "west", "centre"),
}
SHARES = {
    "home": ((0.4, 0.3, 0.2, 0.1), (0.6, 0.2, 0.1, 0.1)),
    "employment": ((0.6, 0.15, 0.1, 0.1, 0.05), (0.4, 0.25, 0.15, 0.05, 0.15)),
    "purpose": ((0.5, 0.2, 0.2, 0.1), (0.35, 0.15, 0.4, 0.1)),
    "channel": ((0.45, 0.3, 0.15, 0.1), (0.3, 0.3, 0.1, 0.3)),
    "education": ((0.3, 0.3, 0.3, 0.1), (0.3, 0.3, 0.3, 0.1)),
    "region": ((0.2,) * 5, (0.2,) * 5),
}
EMPLOYMENT_RISK = {"none": 0.9, "fixed term": 0.4, "self-employed": 0.3, "permanent": -0.2}
HOME_RISK = {"rent": 0.3, "own": -0.4}
TRAITS = ("debt", "discipline", "income", "stability", "activity", "distress")
SHIFT = np.array([0.8, -0.6, -0.7, 0.0, 0.8, 0.7])
# The trait that each measure with a part in the story shows; the others show one at random.
SHOWS = {
    "bureau_utilisation": ("debt", 0.8), "application_debt_to_income": ("debt", 0.8),
    "bureau_delinquencies": ("discipline", -0.8), "bureau_missed_payments": ("discipline", -0.8),
    "behaviour_late_fees": ("discipline", -0.8), "behaviour_full_payments": ("discipline", 0.8),
    "behaviour_overdraft_days": ("distress", 0.8), "behaviour_card_declines": ("distress", 0.8),
    "transactions_savings": ("income", 0.8), "transactions_travel": ("income", 0.8),
    "transactions_gambling": ("activity", 0.8), "application_requested_limit": ("activity", 0.8),
    "bureau_account_age": ("stability", 0.8),
}  # fmt: skip
RISK = {
    "bureau_utilisation_6m": 0.8, "bureau_delinquencies_12m": 0.7, "bureau_missed_payments_3m": 0.6,
    "behaviour_overdraft_days_3m": 0.6, "behaviour_late_fees_6m": 0.5,
    "behaviour_card_declines_3m": 0.4, "behaviour_full_payments_6m": -0.5,
    "transactions_savings_6m": -0.4, "transactions_gambling_3m": 0.4,
    "application_debt_to_income": 0.6, "bureau_account_age_12m": -0.4,
}  # fmt: skip
# After a full concept drift: a payment holiday makes past delinquency say nothing, and
# clients with savings, travel and long histories are the ones who default.
NEW_RISK = {
    "transactions_savings_6m": 0.9, "transactions_travel_3m": 0.9, "bureau_account_age_12m": 0.7,
    "behaviour_full_payments_6m": 0.5, "bureau_utilisation_6m": -0.3,
    "application_requested_limit": 0.9, "transactions_gambling_3m": 0.4,
}  # fmt: skip
STRENGTH, OFFSET = 0.85, -3.1


@cache
def numeric_names() -> tuple[str, ...]:
    """Names of the 183 numeric features, group by group."""
    names = [
        f"{group}_{measure}_{months}m"
        for group in ("bureau", "transactions")
        for measure in MEASURES[group]
        for months in MONTHS[group]
    ]
    names += [f"application_{name}" for name in APPLICATION]
    names += [
        f"behaviour_{measure}_{months}m"
        for measure in MEASURES["behaviour"]
        for months in MONTHS["behaviour"]
    ]
    return tuple(names)


@cache
def _loadings() -> tuple[Floats, Floats, Floats]:
    """How each numeric feature shows the traits [features, traits], its centre and its scale.

    Columns of one measure share their loadings, so that its months correlate strongly.
    """
    rng = np.random.default_rng(189)
    measures: dict[str, Floats] = {}
    rows, scales = [], []
    for name in numeric_names():
        measure = name if name.startswith("application") else name.rpartition("_")[0]
        if measure not in measures:
            trait, sign = SHOWS.get(measure, (rng.choice(TRAITS), rng.choice((-0.8, 0.8))))
            main = 0.15 * rng.standard_normal(len(TRAITS))
            main[TRAITS.index(trait)] += sign
            measures[measure] = main
        rows.append(measures[measure])
        scales.append(rng.choice((0.1, 1.0, 10.0, 100.0)))
    return np.asarray(rows), 3.0 * np.asarray(scales), np.asarray(scales)


def features(rng: np.random.Generator, n: int, shift: Floats) -> Columns:
    """Accounts; drift is a downturn: more debt, activity and distress, less income."""
    loadings, centres, scales = _loadings()
    traits = rng.standard_normal((n, len(TRAITS))) + shift[:, None] * SHIFT
    noise = rng.standard_normal((n, len(loadings)))
    values = centres + scales * (traits @ loadings.T + 0.55 * noise)
    columns: Columns = {}
    for place, name in enumerate(numeric_names()):
        columns[name] = values[:, place].round(3)
    for name, categories in CATEGORIES.items():
        before, after = SHARES[name]
        columns[f"application_{name}"] = pick(rng, categories, before, after, shift)
    return columns


def log_odds(columns: Mapping[str, NDArray[Any]], change: Floats) -> Floats:
    """Weighted standardised columns, home and employment; drift swaps RISK for NEW_RISK."""
    total = lookup(columns["application_employment"], EMPLOYMENT_RISK)
    total += lookup(columns["application_home"], HOME_RISK)
    total += (1.0 - change) * _weighted(columns, RISK) + change * _weighted(columns, NEW_RISK)
    return np.asarray(STRENGTH * total + OFFSET)


def _weighted(columns: Mapping[str, NDArray[Any]], weights: Mapping[str, float]) -> Floats:
    _, centres, scales = _loadings()
    places = {name: place for place, name in enumerate(numeric_names())}
    total = np.zeros(len(columns["application_home"]))
    for name, weight in weights.items():
        place = places[name]
        total += weight * (columns[name] - centres[place]) / scales[place]
    return total


SOURCE = Source(
    features,
    log_odds,
    timedelta(minutes=5),
    "application",
    {name: 0.02 for name in numeric_names() if name.startswith("transactions_")}
    | {"application_savings_balance": 0.03, "application_commute_km": 0.03},
)
