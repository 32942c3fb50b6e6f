"""Checks that what a pipeline holds of labels is what a recount of the same messages gives."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from streamgauge.core.batch import IntArray, Task
from streamgauge.core.blocks import SUM, Block
from streamgauge.core.engine import ModelEngine
from streamgauge.core.joining.ledger import JoinCounts
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.outcomes.stream import OutcomeStream
from streamgauge.core.slices import RowKey, SliceRegistry
from tests.support.label_judge import (
    SLICED,
    Judged,
    bins_of,
    counted,
    is_wrong,
    rows_of,
    score_cells,
)


def stream_of(engine: ModelEngine) -> OutcomeStream:
    """The outcome stream of an engine."""
    assert engine.outcomes is not None
    return engine.outcomes._stream


def join_counts(engine: ModelEngine) -> JoinCounts:
    """What the join of an engine says became of all events."""
    assert engine.outcomes is not None
    return engine.outcomes.counts()


def assert_identities(counts: JoinCounts) -> None:
    """Check that every event is in exactly one place."""
    c = counts
    assert min(c) >= 0
    assert c.predictions == c.joined + c.pending + c.expired + c.duplicates
    assert c.labels == (
        c.joined + c.corrections + c.waiting + c.orphans + c.late + c.duplicate_labels
    )


def assert_joined(engine: ModelEngine, judged: Judged) -> None:
    """Check the counts that do not depend on the order in which events came."""
    counts = join_counts(engine)
    assert_identities(counts)
    assert {name: getattr(counts, name) for name in judged.events} == judged.events
    assert counts.joined == len(judged.pairs)


def assert_counted(
    engine: ModelEngine, judged: Judged, sliced: Sequence[tuple[str, ...]] = SLICED
) -> None:
    """Check all sums over pairs and predictions: in all, in windows and in cohorts."""
    stream = stream_of(engine)
    pairs, pane = judged.pairs, stream.spec.pane_ms
    _assert_block(stream, engine.registry, stream.track.counted(), pairs, sliced)
    began = pairs["since"] // pane * pane if len(pairs) else pairs["since"]
    closed = engine.closed
    if closed is not None:
        _assert_block(
            stream, engine.registry, stream.track.totals.block(), pairs[began < closed], sliced[:2]
        )
    for window in stream.track.windows:
        if window.end is not None:
            inside = (began >= window.end - window.spec.length_ms) & (began < window.end)
            _assert_block(stream, engine.registry, window.totals(), pairs[inside], sliced[:2])
    _assert_delays(stream, engine.registry, pairs, sliced)
    _assert_estimates(stream, engine.registry, judged.predictions, sliced)
    _assert_cohorts(stream, engine.registry, judged, sliced)


def _found(registry: SliceRegistry, block: Block) -> dict[RowKey, int]:
    present = np.flatnonzero(block.counts.any(axis=1)).tolist()
    return {registry.keys[int(block.rows[place])]: place for place in present}


def _assert_block(
    stream: OutcomeStream,
    registry: SliceRegistry,
    block: Block,
    pairs: pd.DataFrame,
    sliced: Sequence[tuple[str, ...]],
) -> None:
    rates = None if stream.estimator is None else stream.estimator.rates()
    wrong = None if rates is None else rates.wrong
    expected = dict(rows_of(pairs, sliced))
    found = {
        key: place
        for key, place in _found(registry, block).items()
        if tuple(name for name, _ in key.slice) in sliced
    }
    assert found.keys() == expected.keys()
    for key, mine in expected.items():
        counts, sums = counted(stream.layout, mine, wrong)
        np.testing.assert_array_equal(block.counts[found[key]], counts, str(key))
        np.testing.assert_allclose(block.sums[found[key]], sums, rtol=1e-9, atol=1e-9)


def _assert_delays(
    stream: OutcomeStream,
    registry: SliceRegistry,
    pairs: pd.DataFrame,
    sliced: Sequence[tuple[str, ...]],
) -> None:
    block = stream.delays.block()
    found, expected = _found(registry, block), dict(rows_of(pairs, sliced))
    assert found.keys() == expected.keys()
    for key, mine in expected.items():
        delay = (mine["since"] - mine["time"]).to_numpy(np.int64)
        counts = np.bincount(_delay_bins(stream, delay), minlength=block.counts.shape[1])
        np.testing.assert_array_equal(block.counts[found[key]], counts)
        np.testing.assert_allclose(
            block.sums[found[key], 0, SUM], delay.sum() / 1000, rtol=1e-9, atol=1e-9
        )


def _delay_bins(stream: OutcomeStream, delay: IntArray) -> Any:
    """Bins hold their upper edge, as Prometheus's buckets do, and the first holds 0 too."""
    edges = pd.IntervalIndex.from_breaks(stream.cohorts.delay_edges_ms)
    return np.maximum(edges.get_indexer(delay), 0)


def _assert_estimates(
    stream: OutcomeStream,
    registry: SliceRegistry,
    predictions: pd.DataFrame,
    sliced: Sequence[tuple[str, ...]],
) -> None:
    layout = stream.layout
    if stream.estimator is None:
        return
    block = stream.estimates.counted()
    found = _found(registry, block)
    expected: dict[RowKey, IntArray] = {}
    for key, mine in rows_of(predictions, sliced):
        cells = _estimate_cells(layout, mine)
        counts = np.bincount(cells[cells >= 0], minlength=stream.estimator.width)
        if counts.any():
            expected[key] = counts[: stream.estimator.width]
    assert found.keys() == expected.keys()
    for key, counts in expected.items():
        np.testing.assert_array_equal(block.counts[found[key]], counts, str(key))


def _estimate_cells(layout: OutcomeLayout, mine: pd.DataFrame) -> IntArray:
    if layout.task is Task.REGRESSION:
        item = next(f for f in layout.base.fields if f.subject.name == "prediction")
        values = mine["prediction"].astype(float)
        cells: IntArray = np.digitize(bins_of(item.bins, values), item.bins.groups) - 1
        return cells
    score = mine["score"].astype(float)
    cells = score_cells(score.fillna(0.0))
    if layout.task is Task.BINARY:
        cells = cells + 100 * (mine["prediction"] == layout.classes[1]).to_numpy(int)
    return np.where(score.notna(), cells, -1)


def _assert_cohorts(
    stream: OutcomeStream,
    registry: SliceRegistry,
    judged: Judged,
    sliced: Sequence[tuple[str, ...]],
) -> None:
    cohorts, layout = stream.cohorts, stream.layout
    step_ms, first = cohorts.step_ms, cohorts._first
    expected: dict[tuple[int, RowKey], IntArray] = {}
    errors: dict[tuple[int, RowKey], list[float]] = {}
    width = cohorts.groups + cohorts.strata
    for frame, labelled in ((judged.predictions, False), (judged.pairs, True)):
        for key, mine in rows_of(frame, sliced):
            steps = mine["time"].to_numpy(np.int64) // step_ms
            kinds = _kinds(layout, mine, labelled=labelled)
            for step in np.unique(steps[steps >= first]).tolist():
                counts = expected.setdefault((step, key), np.zeros(width, np.int64))
                counts += np.bincount(kinds[steps == step], minlength=width)
                if labelled and layout.task is Task.REGRESSION:
                    part = mine[steps == step]
                    size = (part["prediction"].astype(float) - part["label"].astype(float)).abs()
                    errors[step, key] = [float((size**power).sum()) for power in (1, 2, 4)]
    found: dict[tuple[int, RowKey], IntArray] = {}
    for step, total in cohorts._light.items():
        block = total.block()
        for key, place in _found(registry, block).items():
            found[step, key] = block.counts[place]
            if layout.task is Task.REGRESSION:
                wanted = errors.get((step, key), [0.0, 0.0, 0.0])
                sums = block.sums[place]
                np.testing.assert_allclose(sums[0], wanted[:2], rtol=1e-9, atol=1e-9)
                np.testing.assert_allclose(sums[1], wanted[1:], rtol=1e-9, atol=1e-9)
    assert found.keys() == expected.keys()
    for what, counts in expected.items():
        np.testing.assert_array_equal(found[what], counts, str(what))
    _assert_full_cohorts(stream, registry, judged)


def _assert_full_cohorts(stream: OutcomeStream, registry: SliceRegistry, judged: Judged) -> None:
    """Check what cohorts keep of whole versions alone, and of how late labels were."""
    cohorts, layout = stream.cohorts, stream.layout
    rates = None if stream.estimator is None else stream.estimator.rates()
    steps = dict(_steps(judged.pairs, cohorts.step_ms, cohorts._first))
    for step, mine in steps.items():
        block = cohorts._full[step].block()
        found, expected = _found(registry, block), dict(rows_of(mine, [()]))
        assert found.keys() == expected.keys()
        for key, part in expected.items():
            counts, sums = counted(layout, part, None if rates is None else rates.wrong)
            width, numbers = block.counts.shape[1], block.sums.shape[1]
            np.testing.assert_array_equal(block.counts[found[key]], counts[:width])
            np.testing.assert_allclose(block.sums[found[key]], sums[:numbers], rtol=1e-9, atol=1e-9)
        delays = np.zeros((cohorts.strata, len(cohorts.delay_edges_ms) - 1), np.int64)
        strata = _kinds(layout, mine, labelled=True) - cohorts.groups
        delay = (mine["since"] - mine["time"]).to_numpy(np.int64)
        np.add.at(delays, (strata, _delay_bins(stream, delay)), 1)
        np.testing.assert_array_equal(cohorts._delays[step], delays)
    kept: Mapping[int, Any] = cohorts._full
    assert {step for step, total in kept.items() if total.block().counts.any()} == steps.keys()


def _steps(frame: pd.DataFrame, step_ms: int, first: int) -> Any:
    if not len(frame):
        return
    steps = frame["time"].astype(np.int64) // step_ms
    for step, index in frame.groupby(steps).groups.items():
        if step >= first:
            yield int(step), frame.loc[index]


def _kinds(layout: OutcomeLayout, part: pd.DataFrame, *, labelled: bool) -> IntArray:
    """Return each event's column in its cohort: groups of predictions, then strata of pairs."""
    zeros = np.zeros(len(part), np.int64)
    if layout.task is Task.BINARY:
        kinds: IntArray = (part["prediction"] == layout.classes[1]).to_numpy(np.int64)
        if labelled:
            kinds = 2 + 2 * (part["label"] == layout.classes[1]).to_numpy(np.int64) + kinds
        return kinds
    if not labelled:
        return zeros
    if layout.task is Task.MULTICLASS:
        zeros[~is_wrong(layout, part)] = 1
    return 1 + zeros
