"""The archive of a replay: former champions are asked before a new model is trained."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from learning.archive import best_former, gain_if_returned, judged_behind, look_for
from learning.gate import Verdict
from learning.replay_gate import Look, contest_at, judge_at
from learning.replay_workshop import Model, Workshop


def ask_archive(
    shop: Workshop,
    position: int,
    former: Mapping[int, tuple[Model, float | None]],
    champion: Model,
    anchor: Model | None,
) -> tuple[tuple[int, Verdict] | None, float]:
    """Which of the former champions returns, with its verdict, if any does; and the seconds.

    ``former`` holds models with the value of the metric that was expected of them, by a name.
    The one that gains most is judged on the rows labelled since the champion was trained (since
    its errors changed, where they did), at a confidence that counts how many were asked.
    """
    changed_at, spent = shop.changed_at(champion, shop.stream.n_known(position))
    since, gains = judged_behind(_known_then(shop, champion), changed_at), dict[int, float]()
    for place, (model, expected) in former.items():
        look = Look(position, model, champion, None, 1, True, since)
        # What was expected of a model hangs on those before it, which policies do not share.
        key = ("archive", model.key, champion.key, position, expected)
        gains[place], seconds = shop.timed(key, partial(_gain, shop, look, expected))
        spent += seconds
    best = best_former(gains)
    if best is None:
        return None, spent
    look = Look(position, former[best][0], champion, anchor, look_for(len(former)), True, since)
    verdict, seconds = judge_at(shop, look)
    found = (best, verdict) if verdict.outcome == "promote" else None
    return found, spent + seconds


def _known_then(shop: Workshop, champion: Model) -> np.datetime64:
    """Event time of the newest row that was labelled when the champion was trained."""
    newest: np.datetime64 = shop.stream.rows.part(slice(0, champion.key.n_known)).labelled.times[-1]
    return newest


def _gain(shop: Workshop, look: Look, expected: float | None) -> float:
    return gain_if_returned(contest_at(shop, look), expected, shop.problem)
