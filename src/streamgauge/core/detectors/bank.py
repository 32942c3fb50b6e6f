"""Bank: e-detectors for many shares at once, that together keep an alert budget.

A series is the share of events with some property, e.g. of flights longer than 500 miles. For a
pane with n events of which k have it, and the largest share m that is tolerated, the likelihood
ratio of a share q > m is

    L = (q/m)^k ((1−q)/(1−m))^(n−k)

whose expectation is at most 1 as long as the true share is at most m, whatever it is. Evidence
grows by panes as

    E ← (E + α) · L

where the *allowance* α is spent on the series before the pane is seen. E − Σα is then a
supermartingale, so the expected number of times that E reaches 1, starting anew after each, is at
most the allowance spent (Ville's inequality; Shin, Ramdas and Rinaldo, E-detectors, 2022). Add up
over series that depend on each other in any way: if the allowances of a period add up to the alert
budget, so does the expected number of false alarms in it. Series may come and go, as long as what
is spent on all of them stays within the budget. With constant α this is the usual e-detector
M = E/α with the threshold 1/α.

A mixture of several q makes it sensitive to small and to large changes. The other side, a share
that falls below what is tolerated, is the same with 1 − x.
"""

from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import FloatArray

ALTERNATIVES: Final = 8
DELTAS: Final[FloatArray] = np.geomspace(0.01, 0.4, ALTERNATIVES)
"""How far the alternatives lie above the tolerated share, before they are bent to stay below 1."""
LOG_ALTERNATIVES: Final = float(np.log(ALTERNATIVES))
"""The alternatives weigh the same, so the mixture is their sum divided by their number."""
_FAR: Final = 40.0
"""Past this, log(1 + e^x) is x to the last bit."""
_TINY: Final = 1e-9


class Ratios(NamedTuple):
    """Log-likelihood ratios of one event `(..., K)`: with the property and without it."""

    present: FloatArray
    absent: FloatArray


def ratios(tolerated: FloatArray) -> Ratios:
    """Return the ratios of the alternatives to tolerated shares `(...)`, all within [0, 1].

    The alternatives are q = 1 − (1 − m)·e^(−δ/(1−m)): about m + δ for small δ and always below 1.
    Where everything is tolerated (m = 1) there is nothing to detect and both are 0.
    """
    m = np.clip(tolerated, _TINY, 1.0)[..., None]
    room = np.maximum(1.0 - m, _TINY)
    absent = -DELTAS / room
    present = np.log((1.0 - room * np.exp(absent)) / m)
    hopeless = m >= 1.0 - _TINY
    return Ratios(np.where(hopeless, 0.0, present), np.where(hopeless, 0.0, absent))


def update(log_evidence: FloatArray, log_allowance: FloatArray, gain: FloatArray) -> None:
    """Move log E `(..., K)` on by a pane, in place: E ← (E + α)·e^gain.

    `log_allowance` broadcasts against it; −inf is no evidence. `gain` is the pane's log L.
    """
    difference = log_evidence - log_allowance
    grown = np.minimum(difference, _FAR)
    np.exp(grown, out=grown)
    np.log1p(grown, out=grown)
    np.maximum(grown, difference, out=grown)
    np.add(grown, log_allowance, out=log_evidence)
    log_evidence += gain


def mixture(log_evidence: FloatArray) -> FloatArray:
    """Return log of the mean of E over the alternatives, from log E `(..., K)`."""
    top = log_evidence.max(axis=-1)
    safe = np.where(np.isfinite(top), top, 0.0)
    total = np.exp(log_evidence - safe[..., None]).sum(axis=-1)
    with np.errstate(divide="ignore"):
        result: FloatArray = safe + np.log(total) - LOG_ALTERNATIVES
    return result
