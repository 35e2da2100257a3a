"""The words of the alerts of a rollout: shadow, canary, probation."""

from __future__ import annotations

from learning.alert import Alert, FieldValue
from learning.phrases import percent, sentence, story
from learning.rollout import Stage


def stage_started(stage: Stage, version: str, champion: str, share: float, reason: str) -> Alert:
    """A version that passed the gate stands beside the champion: shadow_started, canary_started."""
    does = "scores live rows and answers nobody"
    if stage == "canary":
        does = f"answers {percent(share)} of requests, stable per key"
    text = story(
        sentence(reason),
        f"Version {version} {does}; version {champion} goes on with all else.",
        "Nothing; `perennial rollback --to " + champion + "` takes the candidate away.",
    )
    title = f"{stage.capitalize()} started: version {version} beside {champion}"
    return Alert(f"{stage}_started", "info", title, text, _fields(version, champion))


def stage_passed(stage: Stage, version: str, reason: str) -> Alert:
    """A stage saw enough and no harm: shadow_passed, canary_passed."""
    text = story(sentence(reason), "The next step of the rollout follows by itself.")
    title = f"{stage.capitalize()} passed: version {version}"
    return Alert(f"{stage}_passed", "good", title, text, {"Version": version})


def stage_failed(stage: Stage, version: str, champion: str, reason: str) -> Alert:
    """A candidate was taken away: shadow_failed, canary_failed."""
    text = story(
        sentence(reason),
        f"Version {version} was taken away; version {champion} answers everybody.",
    )
    title = f"{stage.capitalize()} failed: version {version}"
    return Alert(f"{stage}_failed", "warning", title, text, _fields(version, champion))


def probation_passed(version: str, reason: str) -> Alert:
    """Labels did not say that the former champion was better."""
    text = story(sentence(reason), f"Version {version} stays.")
    title = f"Probation over: version {version} stays"
    return Alert("probation_passed", "good", title, text, {"Version": version})


def probation_failed(version: str, former: str, reason: str) -> Alert:
    """Labels say that the former champion is better: it answers again."""
    text = story(
        sentence(reason),
        f"Version {version} is rolled back by itself: version {former} answers again.",
        "Look at `perennial history`: what did the gate not see?",
    )
    title = f"Probation failed: version {version} is rolled back to {former}"
    return Alert("probation_failed", "critical", title, text, _fields(version, former))


def _fields(version: str, beside: str) -> dict[str, FieldValue]:
    return {"Version": version, "Beside": beside}
