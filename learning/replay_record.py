"""Where a policy of a replay stands, and what it did so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from learning.archive import N_ASKED
from learning.attempts import Attempt
from learning.decision_windows import Windows
from learning.estimate import EstimateResult
from learning.replay_workshop import TrainingKey
from learning.rows import Floats


@dataclass(frozen=True)
class Trial:
    """One training of a replay: at which position, why, and what the gate said of it.

    ``looks`` judgements were made, the last on ``n_judged`` rows; ``is_better`` says that it was
    promoted for being better beyond chance, not only for being no worse, ``expected`` what value
    of the metric it should reach live, once it is promoted.
    """

    position: int
    attempt: Attempt
    key: TrainingKey
    why: str
    verdict: str
    seconds: float
    looks: int = 0
    n_judged: int = 0
    is_better: bool = False
    expected: float | None = None


@dataclass(frozen=True)
class Alarm:
    """The first turn of an incident: a signal that was violated, and not at the turn before."""

    position: int
    signal: str


@dataclass(frozen=True)
class Return:
    """A former champion that passed the gate again: at which position, and why.

    ``made_at`` is the position of the trial in ``place`` that trained it; ``is_better`` says that
    it was better beyond chance, not only no worse.
    """

    position: int
    place: int
    made_at: int
    why: str
    is_better: bool


@dataclass(frozen=True)
class PolicyState:
    """Where a policy stands before its turn at ``position``; enough to go on from there.

    ``output`` [n, classes or 1] and ``thresholds`` [n] are the answers so far, NaN where none was
    served. ``served`` is the place in ``trials`` of the model that serves, ``since`` the position
    from which it does, ``expected`` the value of the metric that it should reach. ``returns`` are
    former champions that serve again, or did.
    """

    position: int
    output: Floats
    thresholds: Floats
    trials: tuple[Trial, ...] = ()
    served: int | None = None
    since: int = 0
    looks: Mapping[str, Windows] = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()
    sounding: frozenset[str] = frozenset()
    estimate: tuple[int, EstimateResult] | None = None
    seconds: float = 0.0
    expected: float | None = None
    returns: tuple[Return, ...] = ()


def promoted_places(state: PolicyState) -> list[int]:
    """The trials that made champions, oldest first."""
    return [n for n, one in enumerate(state.trials) if one.attempt.state == "promoted"]


def archived_places(state: PolicyState) -> list[int]:
    """The trials that made the newest former champions, newest first."""
    return [n for n in reversed(promoted_places(state)) if n != state.served][:N_ASKED]


def anchor_place(state: PolicyState) -> int | None:
    """The trial that made the newest champion that came by being better, else the first one.

    None where that is the serving one.
    """
    promoted = promoted_places(state)
    crowned = [(state.trials[n].position, n, state.trials[n].is_better) for n in promoted]
    crowned += [(back.position, back.place, back.is_better) for back in state.returns]
    better = [place for _, place, is_better in sorted(crowned) if is_better]
    place = better[-1] if better else next(iter(promoted), None)
    return None if place == state.served else place
