"""`POST /feedback`: what really happened, matched with what was predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
from starlette.types import Receive, Scope, Send

from api.decoder import MALFORMED, PREDICTION_ID, malformed, parse_time
from api.endpoint import Endpoint
from api.errors import ApiError
from api.exchange import read_body, send_json
from api.labelled import Labelled, find_labelled
from api.live import judge
from api.session import ServedModel
from storage.encoding import label_text
from storage.journal import Entry
from storage.records import FeedbackItem, FeedbackRecord, Label

ITEMS_LIMIT = 10_000
STATUS = {"unknown_prediction": 404, "conflicting_label": 409}
DETAILS = {
    "unknown_prediction": "no prediction has this id",
    "conflicting_label": "this prediction already has another label",
    "invalid_actual": "actual: expected one of the model's classes, or a finite number",
    "invalid_prediction_id": f"prediction_id: expected {PREDICTION_ID.pattern}",
    "invalid_time": "observed_at: expected an ISO 8601 time",
}


class Item(msgspec.Struct, forbid_unknown_fields=True):
    """One label as sent."""

    prediction_id: str
    actual: Label | bool
    observed_at: str | None = None


class FeedbackBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `/feedback` takes: one label, or several as items."""

    prediction_id: str | None = None
    actual: Label | bool | None = None
    observed_at: str | None = None
    items: list[Item] | None = None


@dataclass
class Sorting:
    """What the items of one request are, by what was ``found``: new, known already, or wrong."""

    found: Labelled
    new: dict[str, FeedbackItem] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    n_duplicates: int = 0
    errors: list[dict[str, int | str]] = field(default_factory=list)

    def refuse(self, index: int, code: str) -> None:
        """Note that an item is wrong."""
        self.errors.append({"index": index, "code": code})


_decoder = msgspec.json.Decoder(FeedbackBody)


class Feedback(Endpoint):
    """The endpoint of one problem."""

    required_scope = "feedback"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer once the labels are durable; of a batch with an error nothing is kept."""
        token_id = self._runtime.gate.check(scope, self.required_scope)
        items = _decode(await read_body(scope, receive))
        model = self._served()
        checked = [_check(item, model) for item in items]
        sorting = await self._keep(checked, token_id)
        await judge(self._runtime, self._problem, model, list(sorting.new.values()), sorting.found)
        await send_json(send, msgspec.json.encode(_counts(sorting)))

    async def _keep(self, checked: list[FeedbackItem | str], token_id: str | None) -> Sorting:
        names = [item.prediction_id for item in checked if isinstance(item, FeedbackItem)]
        if not self._runtime.neighbours.are_there:
            names = []  # in this process alone, nothing comes between looking and adding
        async with self._runtime.claims.hold_all(self._problem, names):
            sorting = await self._add(checked, token_id)
            for entry in sorting.entries:
                await entry.durable()
        return sorting

    async def _add(self, checked: list[FeedbackItem | str], token_id: str | None) -> Sorting:
        found = await find_labelled(self._runtime, self._problem, checked)
        # No wait from here to `add`: two requests cannot both find the same label new.
        sorting = self._sort(checked, found)
        if sorting.errors:
            raise _refusal(sorting)
        if sorting.new:
            recorder = self._runtime.recorder
            for name in found.borrowed.keys() & sorting.new.keys():
                # A label reaches SQL after its prediction, whoever drains first.
                recorder.add(found.borrowed[name])
            record = FeedbackRecord(
                self._problem, list(sorting.new.values()), token_id, datetime.now(UTC)
            )
            await recorder.durable(record, recorder.add(record))
        return sorting

    def _sort(self, checked: list[FeedbackItem | str], found: Labelled) -> Sorting:
        sorting = Sorting(found)
        for index, item in enumerate(checked):
            if isinstance(item, str):
                sorting.refuse(index, item)
                continue
            name = item.prediction_id
            given = found.labels.get(name)
            waiting = self._runtime.recorder.label(self._problem, name)
            if waiting is not None:
                given = waiting[0]  # it may have come while SQL was asked
                sorting.entries.append(waiting[1])
            elif name in sorting.new:
                given = sorting.new[name].actual
            if given is not None and given != item.actual:
                sorting.refuse(index, "conflicting_label")
            elif given is not None:
                sorting.n_duplicates += 1
            elif name not in found.known:
                sorting.refuse(index, "unknown_prediction")
            else:
                sorting.new[name] = item
        return sorting


def _decode(content: bytes) -> list[Item]:
    fields = "prediction_id, actual, observed_at; or of items, a list of these"
    try:
        body = _decoder.decode(content)
    except MALFORMED as error:
        raise malformed(error, fields) from None
    items = body.items
    if items is None and body.prediction_id is not None and body.actual is not None:
        items = [Item(body.prediction_id, body.actual, body.observed_at)]
    if items is None or (body.items is not None and body.prediction_id is not None):
        raise malformed(msgspec.ValidationError(), fields)
    if not 0 < len(items) <= ITEMS_LIMIT:
        raise ApiError(422, "wrong_length", f"items: expected 1 to {ITEMS_LIMIT} of them")
    return items


def _check(item: Item, model: ServedModel) -> FeedbackItem | str:
    """The item with its label as the model spells it, or the code of what is wrong."""
    if not PREDICTION_ID.fullmatch(item.prediction_id):
        return "invalid_prediction_id"
    actual = _actual(item.actual, model)
    if actual is None:
        return "invalid_actual"
    try:
        moment = parse_time(item.observed_at, "observed_at") if item.observed_at else None
    except ApiError:
        return "invalid_time"
    return FeedbackItem(item.prediction_id, actual, moment or datetime.now(UTC))


def _actual(value: Label | bool, model: ServedModel) -> Label | None:
    if model.manifest.task == "regression":
        if isinstance(value, bool | str):
            return None
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    if isinstance(value, int) and abs(value) >= 2**63:  # its text could be endless
        return None
    classes = model.manifest.classes
    label = label_text(value)
    return model.labels[classes.index(label)] if label in classes else None


def _refusal(sorting: Sorting) -> ApiError:
    code = str(sorting.errors[0]["code"])
    return ApiError(
        STATUS.get(code, 422),
        code,
        f"{DETAILS[code]}; nothing of this request was kept",
        extra={"accepted": 0, "duplicates": 0, "errors": sorting.errors},
    )


def _counts(sorting: Sorting) -> dict[str, object]:
    return {"accepted": len(sorting.new), "duplicates": sorting.n_duplicates, "errors": []}
