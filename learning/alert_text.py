"""The words of each kind of alert: what happened, how sure, what was done, what to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from learning.alert import Alert, FieldValue, Severity, one_line_error, without_values
from learning.error_rate import ErrorRate
from learning.phrases import DriftedFeature, Gain, most_frequent, number, percent, sentence, story

N_NAMED = 3
# A rise of the drift share by this much is told as worse.
DRIFT_STEP = 0.2


def batch_ingested(
    source: str,
    n_rows: int,
    n_quarantined: int = 0,
    reasons: Mapping[str, int] | None = None,
    names: Collection[str] = (),
) -> Alert:
    """Rows were stored; ``n_rows`` does not count the quarantined, ``reasons`` does (by reason)."""
    fields: dict[str, FieldValue] = {"Source": source, "Rows": n_rows}
    if not n_quarantined:
        text = story(f"{n_rows:,} rows from {source} were stored.")
        return Alert("batch_ingested", "info", f"{n_rows:,} rows ingested", text, fields, "clean")
    named = most_frequent(reasons or {}, N_NAMED, names)
    share = n_quarantined / (n_rows + n_quarantined)
    text = story(
        f"{n_rows:,} rows from {source} were stored; {n_quarantined:,} ({percent(share)}) were "
        f"refused by the schema: {named or 'not named'}.",
        "The refused rows are kept aside with their reasons; the model never sees them.",
        "If these rows are right, change the problem file; if not, mend the source.",
    )
    fields |= {"Quarantined": n_quarantined}
    title = f"{n_rows:,} rows ingested, {n_quarantined:,} quarantined"
    kinds = "; ".join(sorted(without_values(reason, names) for reason in reasons or {}))
    return Alert("batch_ingested", "warning", title, text, fields, f"{source}: {kinds}")


def batch_refused(source: str, n_rows: int, reason: str, names: Collection[str] = ()) -> Alert:
    """A whole batch was refused; nothing of it was stored as data."""
    why = without_values(reason, names)
    rows = f" of {n_rows:,} rows" if n_rows else ""
    text = story(
        f"A batch{rows} from {source} was refused whole: {sentence(why)}",
        "Nothing of it is used and the served model is untouched.",
        "Mend the source and send it again.",
    )
    fields: dict[str, FieldValue] = {"Source": source, "Rows": n_rows or "unknown"}
    return Alert("batch_refused", "warning", "Batch refused", text, fields, f"{source}: {why}")


def source_failed(source: str, reason: str) -> Alert:
    """A source of rows could not be read; of ``reason`` no values are told."""
    text = (
        f"Source {source} could not be read: {sentence(one_line_error(reason))} Other sources and "
        "the served model go on; it is asked again at each turn of the loop and goes on where it "
        "stopped. Mend the source, or its part of the problem file."
    )
    fields: dict[str, FieldValue] = {"Source": source}
    return Alert("source_failed", "warning", f"Source {source} failed", text, fields, source)


def source_recovered(source: str) -> Alert:
    """A source can be read again; told only when its failure was."""
    text = f"Source {source} is read again, from where it had stopped. Nothing to do."
    title = f"Source {source} recovered"
    return Alert("source_recovered", "good", title, text, {"Source": source}, source)


def drift_found(
    champion: int | str,
    drift_share: float,
    n_drifted: int,
    n_features: int,
    threshold: float,
    worst: Sequence[DriftedFeature],
    groups: Sequence[str] = (),
    beside: Sequence[str] = (),
) -> Alert:
    """The inputs moved away from what the champion was trained on; ``worst`` first.

    ``groups`` are those whose status is not normal, ``beside`` what the check saw of predictions,
    labels and errors, a sentence each.
    """
    named = ", ".join(str(feature) for feature in worst[:N_NAMED])
    sign = ">" if drift_share > threshold else "≤"
    found = (
        f"drift_share {number(drift_share)} {sign} {number(threshold)}: {n_drifted} of "
        f"{n_features} testable features drifted, worst {named or 'not named'}."
    )
    found += f" Groups: {', '.join(groups)}." if groups else ""
    found += f" Beside the inputs: {'; '.join(beside)}." if beside else ""
    text = story(
        found,
        f"Version {champion} goes on answering; a retrain follows if the policy allows one.",
        "Look at the drift report to see whether the world or a data source changed.",
    )
    fields: dict[str, FieldValue] = {"Drift share": number(drift_share), "Champion": champion}
    fields |= {"Drifted features": n_drifted, "Testable features": n_features}
    fields |= {"Alarm above": number(threshold)}
    title = f"Data drift: {n_drifted} of {n_features} features"
    return Alert(
        "drift_found", "warning", title, text, fields, "drift", level=drift_share, step=DRIFT_STEP
    )


def drift_over(champion: int | str, drift_share: float, reason: str) -> Alert:
    """The inputs look like the champion's training rows again; told only when drift was."""
    text = story(f"Version {champion} sees no drift any more: {sentence(reason)}")
    fields: dict[str, FieldValue] = {"Drift share": number(drift_share), "Champion": champion}
    return Alert("drift_over", "good", "Data drift is over", text, fields, "drift")


def all_well(
    champion: int | str, drift_share: float | None, metric: str, value: float | None
) -> Alert:
    """A check found neither drift nor low performance; ``value`` None: no mature labels yet."""
    seen = f"{metric} {number(value)}" if value is not None else "no mature labels yet"
    share = "not testable" if drift_share is None else f"drift_share {number(drift_share)}"
    text = story(f"Version {champion} is answering; {share}, {seen}.")
    fields: dict[str, FieldValue] = {"Champion": champion, "Drift": share, "Live": seen}
    return Alert("all_well", "good", "All well", text, fields, "all_well")


def performance_below_floor(
    champion: int | str,
    metric: str,
    value: float,
    interval: tuple[float, float],
    floor: float,
    n_rows: int,
) -> Alert:
    """Live performance on labelled rows is worse than allowed, its interval included."""
    low, high = interval
    text = story(
        f"Live {metric} {number(value)} [{number(low)}, {number(high)}] over {n_rows:,} "
        f"labelled rows is worse than the floor {number(floor)}.",
        f"Version {champion} goes on answering; a retrain follows if the policy allows one.",
        "Until it is replaced, take its predictions with care, or roll back: `perennial rollback`.",
    )
    fields: dict[str, FieldValue] = {"Champion": champion, f"Live {metric}": number(value)}
    fields |= {"Floor": number(floor), "Labelled rows": n_rows}
    title = f"Performance below floor: {metric} {number(value)}"
    kind = "performance_below_floor"
    # Worse: beyond the floor by the width of an interval more than was told.
    return Alert(
        kind,
        "critical",
        title,
        text,
        fields,
        "performance",
        level=abs(floor - value),
        step=max(high - low, 1e-9),
    )


def performance_recovered(
    champion: int | str,
    metric: str,
    value: float,
    interval: tuple[float, float],
    floor: float | None,
    n_rows: int,
) -> Alert:
    """Live performance is not below its floor any more; told only when it was."""
    low, high = interval
    against = "" if floor is None else f", no longer worse than the floor {number(floor)}"
    text = story(
        f"Live {metric} of version {champion} is {number(value)} [{number(low)}, {number(high)}] "
        f"over {n_rows:,} labelled rows{against}."
    )
    fields: dict[str, FieldValue] = {"Champion": champion, f"Live {metric}": number(value)}
    if floor is not None:
        fields |= {"Floor": number(floor)}
    fields |= {"Labelled rows": n_rows}
    title = f"Performance recovered: {metric} {number(value)}"
    return Alert("performance_recovered", "good", title, text, fields, "performance")


def retrain_started(trigger: str, reason: str) -> Alert:
    """A challenger is being trained."""
    text = story(sentence(reason), "A challenger is being trained and must win at the gate.")
    return Alert("retrain_started", "info", f"Retrain started: {trigger}", text)


def first_champion(version: int | str, metric: str, value: float, reason: str) -> Alert:
    """A problem has its first served model."""
    score = f"{metric} {number(value)}"
    text = story(f"{sentence(reason)} Holdout {score}.", f"Version {version} now answers.")
    return Alert(
        "first_champion", "good", f"First champion: version {version}", text, {"Holdout": score}
    )


def promoted(from_version: int | str, to_version: int | str, gain: Gain, reason: str) -> Alert:
    """A challenger took over."""
    text = story(
        f"{sentence(reason)} Gain on the same holdout: {gain}.",
        f"Version {to_version} now answers.",
        "Nothing; `perennial rollback` takes it back.",
    )
    fields: dict[str, FieldValue] = {"From": from_version, "To": to_version, "Gain": str(gain)}
    title = f"Promoted: version {from_version} → {to_version}"
    return Alert("promoted", "good", title, text, fields)


def challenger_refused(version: int | str, champion: int | str | None, reason: str) -> Alert:
    """A challenger did not pass the gate."""
    stays = "no model is served yet" if champion is None else f"version {champion} goes on"
    text = story(sentence(reason), f"Nothing changed: {stays}.")
    return Alert("challenger_refused", "info", f"Challenger {version} refused", text)


def challenger_waits(version: int | str, champion: int | str | None, reason: str) -> Alert:
    """The gate cannot say yet whether a challenger is better."""
    stays = "no model is served yet" if champion is None else f"version {champion} goes on"
    text = story(sentence(reason), f"Nothing changed: {stays}; it is judged again by itself.")
    return Alert("challenger_waits", "info", f"Challenger {version} needs more evidence", text)


def labels_doubted(n_rows: int, kinds: Sequence[str], reason: str) -> Alert:
    """Labelled rows were left out, since they echo, flood or lie in the future."""
    text = story(
        sentence(reason),
        "These rows neither train nor judge a model; the others do.",
        "Ask who sends them; a token is taken away with `perennial token revoke`.",
    )
    fields: dict[str, FieldValue] = {"Rows": n_rows, "Found": ", ".join(sorted(set(kinds)))}
    title = f"{n_rows:,} labels left out"
    return Alert("labels_doubted", "warning", title, text, fields, ", ".join(sorted(set(kinds))))


def labels_contradict(champion: int | str, reason: str, is_held: bool) -> Alert:
    """Feedback, the only source of labels, turned the champion's answers round in one part."""
    waits = "What learnt from these labels waits for you, and is refused in the end."
    text = story(
        sentence(reason),
        waits
        if is_held
        else "What learnt from these labels may take over if it is better by them.",
        "Ask who labels these rows. `trust.reversals` in the problem file says what to do then.",
    )
    fields: dict[str, FieldValue] = {"Champion": champion}
    title = "Feedback contradicts the champion in one part"
    return Alert("labels_contradict", "warning", title, text, fields, "reversal")


def rolled_back(from_version: int | str, to_version: int | str, actor: str, reason: str) -> Alert:
    """A person or the system took a release back."""
    text = story(
        f"{actor} rolled back: {sentence(reason)}",
        f"Version {to_version} now answers.",
        "Find out what was wrong before the next retrain.",
    )
    fields: dict[str, FieldValue] = {"From": from_version, "To": to_version, "By": actor}
    title = f"Rolled back: version {from_version} → {to_version}"
    return Alert("rolled_back", "warning", title, text, fields)


def failed(flow: str, error: str, names: Collection[str] = (), comes_again: bool = True) -> Alert:
    """A flow ended in an error; of ``error`` one line without values is told.

    An incident only where the flow ``comes_again`` by itself: nothing else would ever close it.
    """
    goes_on = "The served model goes on answering"
    text = story(
        f"{flow} failed: {sentence(one_line_error(error, names))}",
        f"{goes_on} and the next run tries again." if comes_again else f"{goes_on}.",
        "If this repeats: `perennial doctor`."
        if comes_again
        else "Start it again when its cause is gone; `perennial doctor` may know it.",
    )
    incident = flow if comes_again else None
    return Alert("failed", "critical", f"{flow} failed", text, {"Flow": flow}, incident)


def recovered(flow: str) -> Alert:
    """A flow runs again; told only when its failure was."""
    text = story(f"{flow} runs again after its failure.")
    return Alert("recovered", "good", f"{flow} recovered", text, {"Flow": flow}, flow)


def circuit_open(n_refused: int, reason: str) -> Alert:
    """Retraining stopped itself after refused challengers in a row."""
    text = story(
        f"{sentence(reason)} {n_refused} challengers in a row were refused.",
        "Retraining stopped itself; the champion goes on answering.",
        "Look at `perennial history`, mend data or policy, then `perennial run retrain`.",
    )
    fields: dict[str, FieldValue] = {"Refused in a row": n_refused}
    return Alert("circuit_open", "critical", "Retraining stopped", text, fields, "circuit")


def circuit_closed(reason: str) -> Alert:
    """Retraining may start again; told only when its stop was."""
    text = story(sentence(reason), "Retraining starts by itself again when it is due.")
    return Alert("circuit_closed", "good", "Retraining goes on", text, {}, "circuit")


def bundle_refused(version: int | str, serving: int | str | None, code: str, reason: str) -> Alert:
    """A server would not load a released bundle."""
    stays = "no model answers" if serving is None else f"version {serving} goes on answering"
    severity: Severity = "critical" if serving is None else "warning"
    text = story(
        f"A server refused version {version} ({code}): {sentence(without_values(reason))}",
        f"On that server {stays}.",
        "Look at `perennial status`; `perennial rollback` if it stays so.",
    )
    title = f"Server refused version {version}"
    return Alert("bundle_refused", severity, title, text, {"Code": code}, f"{version}: {code}")


def champion_damaged(version: int | str, code: str, reason: str) -> Alert:
    """The champion's bundle is not what it was, and cannot be written again."""
    text = story(
        f"The bundle of version {version} is damaged ({code}): {sentence(without_values(reason))}",
        "Servers that have loaded it go on answering; rows are still taken in, but drift, "
        "performance and challengers wait.",
        "Serve another version with `perennial rollback`, or put the bundle back from a backup.",
    )
    title = f"The bundle of version {version} is damaged"
    return Alert("champion_damaged", "critical", title, text, {"Code": code}, "champion")


def champion_whole(version: int | str) -> Alert:
    """The champion's bundle is as it should be; told only when it was not."""
    text = story(f"The bundle of the champion, version {version}, is whole.")
    title = "The champion's bundle is whole again"
    return Alert("champion_whole", "good", title, text, {"Champion": version}, "champion")


def errors_high(rate: ErrorRate, allowed: float, window_seconds: float) -> Alert:
    """The API answers too many requests with an error of its own."""
    text = story(
        f"{_errors(rate, window_seconds)}, above the {percent(allowed)} that is allowed.",
        "The API goes on answering; what it answered with 200 is kept.",
        "Look at GET /health, the API's log and `perennial doctor`.",
    )
    return Alert(
        "errors_high",
        "critical",
        f"API errors: {percent(rate.share)} of requests",
        text,
        _counts(rate),
        "errors",
        level=rate.share,
        step=max(allowed, rate.share / 2),
    )


def errors_over(rate: ErrorRate, allowed: float, window_seconds: float) -> Alert:
    """The API's errors are back within what is allowed; told only when they were not."""
    text = story(f"{_errors(rate, window_seconds)}, within the {percent(allowed)} allowed.")
    return Alert("errors_over", "good", "API errors are over", text, _counts(rate), "errors")


def _errors(rate: ErrorRate, window_seconds: float) -> str:
    interval = f"95% interval [{percent(rate.low)}, {percent(rate.high)}]"
    return (
        f"{rate.n_errors:,} of {rate.n_requests:,} requests in the last "
        f"{window_seconds / 60:g} minutes were answered with a 5xx status: "
        f"{percent(rate.share)}, {interval}"
    )


def _counts(rate: ErrorRate) -> dict[str, FieldValue]:
    return {
        "Requests": rate.n_requests,
        "Errors": rate.n_errors,
        "Error share": percent(rate.share),
    }
