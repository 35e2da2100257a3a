"""Probabilities made to mean what they say, with how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from learning.rows import Floats

SLOPE_SPREAD, INTERCEPT_SPREAD = 1.0, 2.0


@dataclass(frozen=True)
class Scaling:
    """Platt's scaling of one class: sigmoid(slope · logit(p) + intercept), and its covariance."""

    slope: float
    intercept: float
    slope_variance: float = 0.0
    covariance: float = 0.0
    intercept_variance: float = 0.0

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


def fit_scalings(y: Floats, output: Floats) -> tuple[Scaling, ...]:
    """Scalings of class probabilities [n, classes]: of the positive class, or of each of many."""
    columns = [1] if output.shape[1] == 2 else range(output.shape[1])
    return tuple(fit_scaling((y == c).astype(np.float64), output[:, c]) for c in columns)


def calibrate(output: Floats, scalings: Sequence[Scaling]) -> Floats:
    """Class probabilities [n, classes] after their scalings, each row summing to one."""
    if output.shape[1] == 2:
        positive = _scaled(output[:, 1], scalings[0])
        return np.column_stack([1 - positive, positive])
    parts = [_scaled(output[:, place], one) for place, one in enumerate(scalings)]
    scaled = np.column_stack(parts)
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def _scaled(probability: Floats, scaling: Scaling) -> Floats:
    odds = scaling.slope * _logit(probability) + scaling.intercept
    return np.asarray(np.clip(expit(odds), 1e-9, 1 - 1e-9))


def _logit(probability: Floats) -> Floats:
    return np.asarray(logit(np.clip(probability, 1e-6, 1 - 1e-6)))
