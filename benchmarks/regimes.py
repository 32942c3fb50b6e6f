"""Regimes without any change, and one run of them: a reference and a stream from the same law."""

from dataclasses import dataclass

import numpy as np

from benchmarks.nulls import (
    RATES,
    REFERENCE_HOURS,
    STREAM_HOURS,
    Vary,
    autoregressive,
    beta_binomial,
    constant,
    draw,
    reference_of,
    seasonal,
)
from streamgauge.core.batch import FloatArray, IntArray
from streamgauge.core.reference import Reference


@dataclass(frozen=True, slots=True)
class Regime:
    """A law without change, and how the stream's rows come about.

    `rates (T, G)` are the expected events of G parts of the stream, `members (R, G)` the parts that
    make up each row, `known (R,)` the rows' own in the reference, `joins (R,)` their first pane.
    """

    name: str
    vary: Vary
    rates: FloatArray
    members: IntArray
    known: IntArray
    joins: IntArray
    timed: bool = True


def _steady(name: str, vary: Vary, *, timed: bool = True, busy: bool = False) -> Regime:
    hours = np.arange(STREAM_HOURS)
    traffic = daily_traffic(hours) if busy else np.ones(STREAM_HOURS)
    members = np.concatenate([np.ones((1, 3), np.int64), np.eye(3, dtype=np.int64)])
    rates = traffic[:, None] * RATES
    return Regime(name, vary, rates, members, np.arange(4), np.zeros(4, np.int64), timed)


def daily_traffic(hours: IntArray) -> FloatArray:
    """Return how busy hours `(T,)` are: on the mean 1."""
    busy: FloatArray = 1.0 + 0.6 * np.sin(2.0 * np.pi * (hours - 9.0) / 24.0)
    return busy


def _late() -> Regime:
    """Half-way a slice of the first version appears, and a second version with all its slices."""
    half = STREAM_HOURS // 2
    rates = np.tile(np.concatenate([RATES, RATES]), (STREAM_HOURS, 1))
    rates[:half, 2:] = 0.0
    one = np.concatenate([np.ones((1, 3), np.int64), np.eye(3, dtype=np.int64)])
    members = np.kron(np.eye(2, dtype=np.int64), one)
    joins = np.where(members[:, 2:].sum(axis=1) == members.sum(axis=1), half, 0)
    order = np.argsort(joins, kind="stable")
    known = np.tile(np.arange(4), 2)
    return Regime(
        "slices and a version appear", constant, rates, members[order], known[order], joins[order]
    )


REGIMES = (
    _steady("iid", constant),
    _steady("overdispersion 3", beta_binomial(3.0)),
    _steady("overdispersion 10", beta_binomial(10.0)),
    _steady("overdispersion 30", beta_binomial(30.0)),
    _steady("AR(1)", autoregressive(0.7, 0.25)),
    _steady("season", seasonal, busy=True),
    _late(),
    _steady("iid, reference without times", constant, timed=False),
    _steady("overdispersion 10, reference without times", beta_binomial(10.0), timed=False),
)


def simulate(regime: Regime, rng: np.random.Generator) -> tuple[Reference, IntArray]:
    """Return a reference of its own for one run, and the run's stream: counts `(T, R, W)`."""
    hours = np.arange(REFERENCE_HOURS)
    busy = regime.vary is seasonal
    rates = (daily_traffic(hours) if busy else np.ones(len(hours)))[:, None] * RATES
    # The range is that of the reference: a little of the law always lies outside.
    outside = rng.exponential(size=2) / rates.sum()
    past = draw(rng, regime.vary, np.zeros(2), rates, 0)
    parts = draw(rng, regime.vary, outside, regime.rates, REFERENCE_HOURS)
    stream: IntArray = np.einsum("rg,tgw->trw", regime.members, parts, optimize=True)
    return reference_of(past, timed=regime.timed), stream
