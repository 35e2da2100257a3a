"""Probabilities made to mean what they say, with how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from learning.rows import Floats

SLOPE_SPREAD, INTERCEPT_SPREAD = 1.0, 2.0
# What a scaling must be fitted on before it is believed, and how flat or steep it may be: flatter
# ones would make much of float32's last digits.
LEAST_OF_CLASS, SLOPES = 25, (0.3, 3.0)
SURE = 2.0


@dataclass(frozen=True)
class Scaling:
    """Platt's scaling of one class: sigmoid(slope · logit(p) + intercept), and its covariance."""

    slope: float
    intercept: float
    slope_variance: float = 0.0
    covariance: float = 0.0
    intercept_variance: float = 0.0

    def after(self, first: Scaling) -> Scaling:
        """One scaling for ``first`` and then this one; its covariance is left out."""
        return Scaling(self.slope * first.slope, self.slope * first.intercept + self.intercept)

    def draw(self, rng: np.random.Generator) -> Scaling:
        """A scaling that the rows it was fitted on would allow just as well."""
        spread = [
            [self.slope_variance, self.covariance],
            [self.covariance, self.intercept_variance],
        ]
        slope, intercept = rng.multivariate_normal([self.slope, self.intercept], spread)
        return Scaling(float(slope), float(intercept))


def fit_scaling(happened: Floats, probability: Floats) -> Scaling:
    """Scaling of foretold probabilities [n] by what happened (0 or 1) (Platt 1999).

    A weak prior believes the model as it is (slope 1, intercept 0, standard deviations 1 and 2),
    so that few or one-sided rows leave it about unchanged. The covariance is the inverse Hessian.
    """
    z = _logit(probability)
    inputs = np.column_stack([z, np.ones(len(z))])
    centre, precision = np.array([1.0, 0.0]), np.array([SLOPE_SPREAD, INTERCEPT_SPREAD]) ** -2.0

    def loss(at: Floats) -> tuple[float, Floats]:
        away, odds = at - centre, inputs @ at
        value = np.logaddexp(0, odds).sum() - happened @ odds + 0.5 * precision @ away**2
        return float(value), inputs.T @ (expit(odds) - happened) + precision * away

    best = minimize(loss, centre, jac=True, method="BFGS").x
    weight = expit(inputs @ best) * expit(-(inputs @ best))
    spread = np.linalg.inv((inputs * weight[:, None]).T @ inputs + np.diag(precision))
    return Scaling(*(float(v) for v in (*best, spread[0, 0], spread[0, 1], spread[1, 1])))


def helpful_scaling(happened: Floats, probability: Floats) -> Scaling | None:
    """The scaling that makes probabilities [n] say what they mean, or None where none helps.

    It helps when the log loss of each other row falls by more than two standard errors after the
    scaling of the rest, which a model with honest probabilities passes by chance in about 2%.
    """
    n_positive = int((happened > 0.5).sum())
    if min(n_positive, len(happened) - n_positive) < LEAST_OF_CLASS:
        return None
    gains = np.empty(len(happened))
    for half in (slice(0, None, 2), slice(1, None, 2)):
        rest = slice(1 - (half.start or 0), None, 2)
        one = fit_scaling(happened[rest], probability[rest])
        odds, scaled = _logit(probability[half]), _logit(_scaled(probability[half], one, 1e-6))
        gains[half] = _losses(happened[half], odds) - _losses(happened[half], scaled)
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    if not gains.mean() > SURE * error:
        return None
    found = fit_scaling(happened, probability)
    return found if SLOPES[0] <= found.slope <= SLOPES[1] else None


def _losses(happened: Floats, odds: Floats) -> Floats:
    return np.asarray(np.logaddexp(0, odds) - happened * odds)


def fit_scalings(y: Floats, output: Floats) -> tuple[Scaling, ...]:
    """Scalings of class probabilities [n, classes]: of the positive class, or of each of many."""
    columns = [1] if output.shape[1] == 2 else range(output.shape[1])
    return tuple(fit_scaling((y == c).astype(np.float64), output[:, c]) for c in columns)


def calibrate(output: Floats, scalings: Sequence[Scaling], nearest: float = 1e-6) -> Floats:
    """Class probabilities [n, classes] after their scalings, each row summing to one.

    Probabilities ``nearest`` to 0 and 1 or nearer are taken to be that far from them.
    """
    if output.shape[1] == 2:
        positive = _scaled(output[:, 1], scalings[0], nearest)
        return np.column_stack([1 - positive, positive])
    parts = [_scaled(output[:, place], one, nearest) for place, one in enumerate(scalings)]
    scaled = np.column_stack(parts)
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def _scaled(probability: Floats, scaling: Scaling, nearest: float) -> Floats:
    odds = scaling.slope * _logit(probability, nearest) + scaling.intercept
    return np.asarray(np.clip(expit(odds), 1e-9, 1 - 1e-9))


def _logit(probability: Floats, nearest: float = 1e-6) -> Floats:
    return np.asarray(logit(np.clip(probability, nearest, 1 - nearest)))
