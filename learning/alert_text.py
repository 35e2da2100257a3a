"""The words of each kind of alert: what happened, how sure, what was done, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from learning.alert import Alert, FieldValue, Severity, one_line_error, without_values
from learning.phrases import DriftedFeature, Gain, most_frequent, number, sentence

N_NAMED = 3
NOTHING_TO_DO = "Nothing to do."


def batch_ingested(
    source: str, n_rows: int, n_quarantined: int = 0, reasons: Mapping[str, int] | None = None
) -> Alert:
    """Rows were stored; ``n_rows`` does not count the quarantined, ``reasons`` does (by reason)."""
    fields: dict[str, FieldValue] = {"Source": source, "Rows": n_rows}
    if not n_quarantined:
        text = f"{n_rows:,} rows from {source} were stored. {NOTHING_TO_DO}"
        return Alert("batch_ingested", "info", f"{n_rows:,} rows ingested", text, fields, "clean")
    named = most_frequent(reasons or {}, N_NAMED)
    text = (
        f"{n_rows:,} rows from {source} were stored; {n_quarantined:,} were refused by the "
        f"schema and kept aside with their reasons: {named or 'not named'}. "
        "If these rows are right, change the problem file; if not, mend the source."
    )
    fields |= {"Quarantined": n_quarantined}
    title = f"{n_rows:,} rows ingested, {n_quarantined:,} quarantined"
    kinds = "; ".join(sorted(without_values(reason) for reason in reasons or {}))
    return Alert("batch_ingested", "warning", title, text, fields, f"{source}: {kinds}")


def batch_refused(source: str, n_rows: int, reason: str) -> Alert:
    """A whole batch was refused; nothing of it was stored as data."""
    why = without_values(reason)
    text = (
        f"A batch of {n_rows:,} rows from {source} was refused whole: {why}. Nothing of it is "
        "used and the served model is untouched. Mend the source and send it again."
    )
    fields: dict[str, FieldValue] = {"Source": source, "Rows": n_rows}
    return Alert("batch_refused", "warning", "Batch refused", text, fields, f"{source}: {why}")


def drift_found(
    champion: int | str,
    drift_share: float,
    n_drifted: int,
    n_features: int,
    threshold: float,
    worst: Sequence[DriftedFeature],
) -> Alert:
    """The inputs moved away from what the champion was trained on; ``worst`` first."""
    named = ", ".join(str(feature) for feature in worst[:N_NAMED])
    text = (
        f"drift_share {number(drift_share)} > {number(threshold)}: {n_drifted} of {n_features} "
        f"testable features drifted, worst {named or 'not named'}. Version {champion} goes on "
        "answering; a retrain starts by itself if the policy allows one. "
        "Look at the drift report to see whether the world or a data source changed."
    )
    fields: dict[str, FieldValue] = {"Drift share": number(drift_share), "Champion": champion}
    fields |= {"Drifted features": n_drifted, "Testable features": n_features}
    title = f"Data drift: {n_drifted} of {n_features} features"
    return Alert("drift_found", "warning", title, text, fields, str(champion))


def all_well(
    champion: int | str, drift_share: float | None, metric: str, value: float | None
) -> Alert:
    """A check found neither drift nor low performance; ``value`` None: no mature labels yet."""
    seen = f"{metric} {number(value)}" if value is not None else "no mature labels yet"
    share = "not testable" if drift_share is None else f"drift_share {number(drift_share)}"
    text = f"Version {champion} is answering; {share}, {seen}. {NOTHING_TO_DO}"
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
    text = (
        f"Live {metric} {number(value)} [{number(low)}, {number(high)}] over {n_rows:,} "
        f"labelled rows is worse than the floor {number(floor)}. Version {champion} goes on "
        "answering; a retrain starts by itself if the policy allows one. "
        "Until it is replaced, take its predictions with care, or roll back."
    )
    fields: dict[str, FieldValue] = {"Champion": champion, f"Live {metric}": number(value)}
    fields |= {"Floor": number(floor), "Labelled rows": n_rows}
    title = f"Performance below floor: {metric} {number(value)}"
    return Alert("performance_below_floor", "critical", title, text, fields, str(champion))


def retrain_started(trigger: str, reason: str) -> Alert:
    """A challenger is being trained."""
    text = f"{sentence(reason)} A challenger is being trained and must win. {NOTHING_TO_DO}"
    return Alert("retrain_started", "info", f"Retrain started: {trigger}", text)


def first_champion(version: int | str, metric: str, value: float, reason: str) -> Alert:
    """A problem has its first served model."""
    score = f"{metric} {number(value)}"
    text = f"{sentence(reason)} Holdout {score}. Version {version} now answers. {NOTHING_TO_DO}"
    return Alert(
        "first_champion", "good", f"First champion: version {version}", text, {"Holdout": score}
    )


def promoted(from_version: int | str, to_version: int | str, gain: Gain, reason: str) -> Alert:
    """A challenger took over."""
    text = (
        f"{sentence(reason)} Gain on the same holdout: {gain}. Version {to_version} now answers. "
        "Nothing to do; `perennial rollback` takes it back."
    )
    fields: dict[str, FieldValue] = {"From": from_version, "To": to_version, "Gain": str(gain)}
    title = f"Promoted: version {from_version} → {to_version}"
    return Alert("promoted", "good", title, text, fields)


def challenger_refused(version: int | str, champion: int | str | None, reason: str) -> Alert:
    """A challenger did not pass the gate."""
    stays = "no model is served yet" if champion is None else f"version {champion} goes on"
    text = f"{sentence(reason)} Nothing changed: {stays}. {NOTHING_TO_DO}"
    return Alert("challenger_refused", "info", f"Challenger {version} refused", text)


def rolled_back(from_version: int | str, to_version: int | str, actor: str, reason: str) -> Alert:
    """A person or the system took a release back."""
    text = (
        f"{actor} rolled back: {sentence(reason)} Version {to_version} now answers. "
        "Find out what was wrong before the next retrain."
    )
    fields: dict[str, FieldValue] = {"From": from_version, "To": to_version, "By": actor}
    title = f"Rolled back: version {from_version} → {to_version}"
    return Alert("rolled_back", "warning", title, text, fields)


def failed(flow: str, error: str) -> Alert:
    """A flow ended in an error; of ``error`` one line without values is told."""
    text = (
        f"{flow} failed: {sentence(one_line_error(error))} The served model goes on answering "
        "and the next run tries again. If this repeats: `perennial doctor`."
    )
    return Alert("failed", "critical", f"{flow} failed", text, {"Flow": flow}, flow)


def recovered(flow: str) -> Alert:
    """A flow runs again; told only when its failure was."""
    text = f"{flow} runs again after its failure. {NOTHING_TO_DO}"
    return Alert("recovered", "good", f"{flow} recovered", text, {"Flow": flow}, flow)


def circuit_open(n_refused: int, reason: str) -> Alert:
    """Retraining stopped itself after refused challengers in a row."""
    text = (
        f"{sentence(reason)} {n_refused} challengers in a row were refused, so retraining "
        "stopped itself; the champion goes on answering. Look at `perennial history`, mend data "
        "or policy, then `perennial run retrain`."
    )
    fields: dict[str, FieldValue] = {"Refused in a row": n_refused}
    return Alert("circuit_open", "critical", "Retraining stopped", text, fields, "circuit")


def bundle_refused(version: int | str, serving: int | str | None, code: str, reason: str) -> Alert:
    """A server would not load a released bundle."""
    stays = "no model answers" if serving is None else f"version {serving} goes on answering"
    severity: Severity = "critical" if serving is None else "warning"
    text = (
        f"A server refused version {version} ({code}): {sentence(without_values(reason))} "
        f"On that server {stays}. Look at `perennial status`; `perennial rollback` if it stays so."
    )
    title = f"Server refused version {version}"
    return Alert("bundle_refused", severity, title, text, {"Code": code}, f"{version}: {code}")
