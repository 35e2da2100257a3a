"""What is known of the rows before the gate compares models: whose labels, and leaks."""

from __future__ import annotations

import numpy as np

from learning.gate import Check
from learning.leaks import find_leaks
from learning.reversals import describe_reversal, find_reversal
from learning.rows import LABEL, Schema
from learning.search import thin_places
from tasks.champion import Champion, rival_output
from tasks.labelled import Labelled
from tasks.run import Run

LEAK_ROWS = 2_000
REVERSAL_ROWS = 5_000
REVERSAL = "labels: reversal"
RELEASE = " (trust.reversals: warn lets the gain decide)"
HINT = " (trust.new_leaks: warn lets it pass)"


def notes_on(
    run: Run,
    schema: Schema,
    labelled: Labelled,
    judging: np.ndarray,
    champion: Champion | None,
    is_first_look: bool,
) -> list[Check]:
    """What was found about the labels, and at the first look features that give them away."""
    notes = [
        Check(f"labels: {finding.kind}", "pass", finding.share, None, finding.text)
        for finding in labelled.findings
    ]
    if len(judging) and (share := float(labelled.labels.is_fed_back[judging].mean())):
        text = f"{share:.0%} of the judged rows came by /feedback: no other source brings labels"
        notes.append(Check("judges", "pass", share, None, text))
        notes += _reversal(run, schema, labelled, champion)
    return notes + (_leaks(run, schema, labelled, champion) if is_first_look else [])


def _reversal(
    run: Run, schema: Schema, labelled: Labelled, champion: Champion | None
) -> list[Check]:
    """One part of the rows in which what clients send is the champion's answers turned round."""
    if champion is None or schema.task != "binary" or champion.schema.task != "binary":
        return []
    newest = np.flatnonzero(labelled.behind(champion.training_end))[-REVERSAL_ROWS:]
    score = rival_output(champion, labelled.frame.iloc[newest], schema, np.empty((0, 0)))[:, 1]
    rows = labelled.rows.part(newest)
    found = find_reversal(rows.x, rows.y, score, schema.features)
    if found is None:
        return []
    is_held = run.problem.trust.reversals == "hold"
    text = describe_reversal(found, f"champion {champion.version}")
    text += RELEASE if is_held else ""
    return [Check(REVERSAL, "unsure" if is_held else "pass", found.auc, 0.5, text)]


def _leaks(run: Run, schema: Schema, labelled: Labelled, champion: Champion | None) -> list[Check]:
    """Features that give the label away; those that did so before the champion are only told."""
    trains = labelled.trains
    if champion is None:
        found, before = _leaks_in(labelled, np.flatnonzero(trains), schema), {}
    else:
        is_new = labelled.rows.times > champion.training_end
        new = np.flatnonzero(trains & is_new)
        # The newer half: what has only just begun must not drown in the rows before.
        found = _leaks_in(labelled, new[len(new) // 2 :], schema)
        before = _leaks_in(labelled, np.flatnonzero(trains & ~is_new), schema) if found else {}
    is_refused = run.problem.trust.new_leaks == "refuse" and champion is not None
    return [
        Check(
            f"leak {name}",
            "fail" if is_refused and name not in before else "pass",
            None,
            None,
            text if name in before or champion is None else f"{text}; it did not before{HINT}",
        )
        for name, text in found.items()
    ]


def _leaks_in(labelled: Labelled, places: np.ndarray, schema: Schema) -> dict[str, str]:
    places = places[thin_places(len(places), LEAK_ROWS)]
    frame = labelled.frame.iloc[places]
    features = [feature for feature in schema.features if feature.name in frame]
    labels = frame[LABEL]
    sentences = find_leaks(frame, labels, features, schema.task)
    return {sentence.partition(":")[0]: sentence for sentence in sentences}
