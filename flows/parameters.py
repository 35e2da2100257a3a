"""Types of the flows' parameters: what the form in the Prefect UI accepts, and its examples.

What each one means stands in the flows' docstrings, where Prefect reads it. This module imports
nothing heavy, for deploying reads it without the flows.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

ProblemName = Annotated[
    str | None, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", examples=["churn"])
]
FilePath = Annotated[str | None, Field(min_length=1, examples=["customers-2026-03.csv"])]
Reason = Annotated[str, Field(min_length=1, max_length=500, examples=["a new price list"])]
Why = Annotated[str, Field(max_length=500, examples=["wrong on weekends"])]
Version = Annotated[int | None, Field(ge=1, examples=[3])]
Policies = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=40)]] | None,
    Field(examples=[["never", "drift", "auto"]]),
]
Delay = Annotated[
    str | None, Field(pattern=r"^[0-9]+([.][0-9]+)? ?[a-z]*$", examples=["500", "7d"])
]
Workers = Annotated[int, Field(ge=1, le=64)]
