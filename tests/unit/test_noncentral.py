"""Critical values of the noncentral chi-square law against scipy's."""

import numpy as np
import pytest
from scipy.stats import chi2, ncx2

from streamgauge.core.noncentral import critical_value

FREEDOM = np.array([1.0, 2, 3, 5, 10, 24, 60])[:, None]
NONCENTRALITY = np.array([0.01, 0.5, 2, 10, 50, 200, 1_000, 5_000])[None, :]


@pytest.mark.parametrize("probability", [0.05, 1e-2, 1e-3, 1e-5, 1e-7, 1e-9])
def test_critical_values_are_scipys_or_a_little_above(probability: float) -> None:
    found = critical_value(FREEDOM, NONCENTRALITY, probability)
    ratio = found / ncx2.isf(probability, FREEDOM, NONCENTRALITY)
    assert ratio.min() > 0.9999
    assert ratio.max() < 1.025
    level = ncx2.sf(found, FREEDOM, NONCENTRALITY) / probability
    assert level.min() > 0.89
    assert level.max() < 1.001


@pytest.mark.parametrize("probability", [0.05, 1e-5, 1e-9, 1e-12])
def test_without_noncentrality_the_law_is_the_central_one(probability: float) -> None:
    found = critical_value(FREEDOM, np.zeros((1, 1)), probability)
    ratio = found / chi2.isf(probability, FREEDOM)
    assert ratio.min() > 0.9999
    assert ratio.max() < 1.025


def test_critical_values_grow_with_all_that_makes_them_larger() -> None:
    values = critical_value(FREEDOM, NONCENTRALITY, 1e-6)
    assert (np.diff(values, axis=0) > 0).all()
    assert (np.diff(values, axis=1) > 0).all()
    assert (critical_value(FREEDOM, NONCENTRALITY, 1e-7) > values).all()
