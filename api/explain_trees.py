"""Trees: exact path-dependent Shapley values in time linear in the number of nodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from api.explain_blocks import Block
from api.explain_parts import Arrays, Attribution, Floats, expect, expect_finite, read_outputs
from api.explain_trees_file import read_blocks


class TreeExplainer:
    """Shapley values of the game that "path-dependent" TreeSHAP plays (Lundberg et al. 2020).

    Splits on features outside a coalition are averaged over, each side weighing as many training
    rows as it saw. A leaf whose path asks d features then counts v · prod(o_i if i in S else z_i),
    where z_i is the share of rows that pass the splits on feature i and o_i whether this row
    does. As s! (d-1-s)! / d! is the integral of t^s (1-t)^(d-1-s) over 0..1, feature i's Shapley
    value at a leaf is

        v (o_i - z_i) · integral of prod over j != i of (o_j t + z_j (1-t)) dt,

    (the multilinear extension, Owen 1972). The product is a polynomial of degree d-1 at most:
    Gauss-Legendre quadrature with d/2 points is exact, and all of its terms are positive. Sums
    over the leaves below a node are shared by the features above it, as in Linear TreeSHAP (Yu et
    al. 2022): going down, a split on a feature replaces what an earlier one on it contributed.
    """

    method = "path-dependent tree SHAP"

    def __init__(self, arrays: Arrays, n_features: int) -> None:
        self.outputs = read_outputs(arrays)
        self.n_features = n_features
        self._fill = arrays["fill"]
        self._baseline = arrays["baseline"]
        expect(self._fill.shape == (n_features,) and self._fill.dtype == np.float64, "fill")
        expect(self._baseline.shape == (self.outputs.mixture.shape[1],), "baseline")
        expect_finite(self._baseline, "baseline")
        self._blocks = read_blocks(arrays, n_features, len(self._baseline))
        self._expected = self._baseline.copy()
        for block in self._blocks:
            self._expected[block.raw] += block.leaf_shares @ block.values

    def predict(self, row: NDArray[np.float32]) -> Floats:
        """Each explained output, from the leaves that the row reaches."""
        filled = self._filled(row)
        scores = self._baseline.copy()
        for block in self._blocks:
            reached = block.reached(block.splits.goes_left(filled))
            scores[block.raw] += block.values[reached].sum(axis=0)
        return np.asarray(self.outputs.mixture @ scores)

    def attribute(self, row: NDArray[np.float32], position: int) -> Attribution:
        """Contributions to one output."""
        filled = self._filled(row)
        mixture = self.outputs.mixture[position]
        contributions = np.zeros(self.n_features)
        for block in self._blocks:
            values = block.values @ mixture[block.raw]
            if values.any():
                contributions += self._of_block(block, values, block.splits.goes_left(filled))
        return Attribution(float(mixture @ self._expected), contributions)

    def _of_block(self, block: Block, values: Floats, goes_left: NDArray[np.bool_]) -> Floats:
        passes, paths = block.passes(goes_left), block.paths
        here, before = passes[block.shape.inner], passes[paths.earlier]
        # Rows are quadrature points, columns are all nodes but the roots.
        points = block.points[:, np.newaxis]
        factor = here * points + paths.share * (1 - points)
        factor_before = before * points + paths.share_before * (1 - points)
        effect = (here - paths.share) / factor - (before - paths.share_before) / factor_before
        below = block.sums_below(factor / factor_before, values)
        terms = block.weights @ (below * effect)
        return np.bincount(paths.asked, terms, minlength=self.n_features).astype(np.float64)

    def _filled(self, row: NDArray[np.float32]) -> NDArray[np.float32]:
        is_filled = np.isnan(row) & ~np.isnan(self._fill)
        return np.where(is_filled, self._fill, row).astype(np.float32)
