"""The gate of a replay: what it is shown, and the verdict on a challenger at each look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learning.exam import is_exam
from learning.gate import Beside, Contest, Side, Verdict, judge
from learning.performance_rivals import as_output
from learning.performance_slices import slice_rows
from learning.replay_workshop import Model, Workshop
from learning.rows import Rows
from learning.search import thin_places

OLDER_ROWS = 5_000


@dataclass(frozen=True)
class Look:
    """One judgement: who stands against whom, when, for which time, and whether it is the last.

    Only rows later than ``since`` judge, where it is given.
    """

    position: int
    model: Model
    champion: Model | None
    anchor: Model | None
    number: int
    is_last: bool
    since: np.datetime64 | None = None

    @property
    def end(self) -> np.datetime64:
        """The time behind which rows judge: neither model was trained on them."""
        end = _end(self.model, self.champion)
        return end if self.since is None else max(end, self.since)


def count_judging(shop: Workshop, model: Model, champion: Model | None, position: int) -> int:
    """How many labelled rows neither model was trained on, of those that came after both."""
    rows = shop.stream.labelled(position)
    return int((rows.times > _end(model, champion)).sum())


def judge_at(shop: Workshop, look: Look) -> tuple[Verdict, float]:
    """The verdict, and the seconds that it took."""
    keys = (None if one is None else one.key for one in (look.model, look.champion, look.anchor))
    place = ("judge", *keys, look.position, look.number, look.is_last, str(look.since))
    return shop.timed(place, lambda: _judge(shop, look))


def _end(model: Model, champion: Model | None) -> np.datetime64:
    return max(
        model.training_end, model.training_end if champion is None else champion.training_end
    )


def contest_at(shop: Workshop, look: Look) -> Contest:
    """Both models on the newest labelled rows that may judge them."""
    return _contest(shop, look, _judging(shop, look))


def _judging(shop: Workshop, look: Look) -> Rows:
    rows = shop.stream.labelled(look.position)
    return rows.part(np.flatnonzero(rows.times > look.end)[-shop.problem.gate.most_rows :])


def _judge(shop: Workshop, look: Look) -> Verdict:
    rules, problem = shop.problem.gate, shop.problem
    rows, end = shop.stream.labelled(look.position), look.end
    judging = _judging(shop, look)
    exam = np.flatnonzero(is_exam(rows.times, rules.backtest_share) & (rows.times <= end))
    older = rows.part(exam[thin_places(len(exam), OLDER_ROWS)])
    beside = Beside(
        older=_contest(shop, look, older),
        slices=tuple(slice_rows(judging.x, shop.stream.schema.features, problem.slices)),
        baselines=tuple(_baselines(shop, look, judging)),
        anchor=_anchor(look, judging),
    )
    contest = _contest(shop, look, judging)
    parity = look.model.challenger.parity
    return judge(contest, parity, rules, beside, look.number, look.is_last)


def _contest(shop: Workshop, look: Look, rows: Rows) -> Contest:
    made, champion = look.model.challenger, look.champion
    dummy = np.tile(made.dummy_output[0], (len(rows), 1))
    width = dummy.shape[1]

    def said(model: Model) -> np.ndarray:
        fitted = model.challenger.fitted
        return fitted.output(rows.x) if len(rows) else np.zeros((0, width))

    return Contest(
        task=shop.stream.schema.task,
        metric=made.metric,
        y=rows.y,
        challenger=said(look.model),
        rival=dummy if champion is None else said(champion),
        rival_name="the dummy" if champion is None else "the champion",
        threshold=made.threshold,
        rival_threshold=0.5 if champion is None else champion.challenger.threshold,
        is_first=champion is None,
        is_rival_served=champion is not None,
    )


def _baselines(shop: Workshop, look: Look, judging: Rows) -> list[Side]:
    """The dummy and the last label that had arrived when each judged row happened."""
    stream = shop.stream
    dummy = np.tile(look.model.challenger.dummy_output[0], (len(judging), 1))
    places = np.searchsorted(stream.rows.times, judging.times, "left")
    known = np.searchsorted(stream.known_at, places, "right") - 1
    last = np.where(known >= 0, stream.rows.y[np.maximum(known, 0)], np.nan)
    no_change = as_output(last, len(stream.schema.classes))
    return [Side("the dummy", dummy), Side("no change", no_change)]


def _anchor(look: Look, judging: Rows) -> Side | None:
    if look.anchor is None or not len(judging):
        return None
    made = look.anchor.challenger
    return Side("an earlier champion", made.fitted.output(judging.x), made.threshold)
