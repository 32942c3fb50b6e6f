"""Attached: detectors of the River library on named series, outside the alert budget.

River's run lengths are not controlled, so its signals spend nothing of the budget and say in
their `detail` whose they are. Parameters are in the unit of the series.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamgauge.core.batch import BoolArray, EventBatch, FloatArray, IntArray
from streamgauge.core.blocks import SUM
from streamgauge.core.columns import columns
from streamgauge.core.detectors.attached_series import NamedSeries, named_series
from streamgauge.core.detectors.attached_track import Mean, Track
from streamgauge.core.detectors.river_detectors import BINARY, INVERTED, RiverDetector, factory
from streamgauge.core.detectors.specs import AttachedSpec, Feed
from streamgauge.core.findings import Effect, Finding, Verdict, Watched
from streamgauge.core.grouping import slice_rows
from streamgauge.core.layout import Layout, Subject
from streamgauge.core.reference import Reference
from streamgauge.core.slices import RowKey, SliceRegistry, SliceSpec


class _Attached(NamedTuple):
    spec: AttachedSpec
    name: str
    series: NamedSeries
    make: Callable[[], RiverDetector]


class AttachedDetectors:
    """One detector per specification and model version; versions appear as events do.

    Versions past `max_versions` share one detector, as they share a row. Values that are missing,
    not finite or absurdly far off are never fed, but counted. Nothing is kept over a restart.

    Raises ValueError, without a place, where a specification names no series or detector that
    there is, where they do not go together, and where a detector is attached to a series twice.
    """

    def __init__(
        self,
        specs: Sequence[AttachedSpec],
        layout: Layout,
        reference: Reference | None,
        model: str,
        *,
        max_versions: int = 32,
    ) -> None:
        self._layout = layout
        self._model = model
        self._registry = SliceRegistry(max_versions=max_versions)
        self._attached: list[_Attached] = []
        for spec in specs:
            series = named_series(spec.series, layout, reference)
            if spec.detector in BINARY and not series.is_rate:
                msg = (
                    f"{spec.detector} takes 0 and 1 alone: attach it to status or a rate such as "
                    f"FEATURE.missing, or attach adwin, page_hinkley or kswin to {spec.series}"
                )
                raise ValueError(msg)
            name = f"river.{spec.detector}"
            if any((name, series.subject) == (a.name, a.series.subject) for a in self._attached):
                raise ValueError(f"{spec.detector} is attached to {spec.series} twice: remove one")
            self._attached.append(_Attached(spec, name, series, factory(spec)))
        by_event = {a.series.position for a in self._attached if a.spec.feed is Feed.EVENT}
        self._positions = sorted(by_event)
        self._tracks: dict[tuple[int, int], Track] = {}
        self._skipped = [0] * len(self._attached)
        self._looked = 0

    @property
    def skipped(self) -> tuple[int, ...]:
        """Number of values that were not fed, per specification."""
        return tuple(self._skipped)

    def watches(self) -> Iterable[tuple[str, Subject]]:
        """Yield what findings can be about: the detector's name and the subject."""
        return ((a.name, a.series.subject) for a in self._attached)

    def add(self, batch: EventBatch, excluded: BoolArray | None = None) -> None:
        """Feed what is fed by event, in the order of the batch's event times.

        `excluded (n,)` says which events are not to be fed, None for none.
        """
        if not len(batch) or not self._positions:
            return
        distinct, places = slice_rows(batch, SliceSpec(()), self._registry)
        rows = distinct[places]
        fields = tuple(self._layout.fields[position] for position in self._positions)
        served = np.flatnonzero(batch.ok)
        for column in columns(Layout(batch.schema, fields), batch, slice(0, len(batch))):
            events = served if column.served else np.arange(len(batch))
            order = np.argsort(batch.timestamp[events], kind="stable")
            if excluded is not None:
                order = order[~excluded[events[order]]]
            events = events[order]
            for i, (spec, _, series, _) in enumerate(self._attached):
                if spec.feed is Feed.EVENT and series.position == self._positions[column.position]:
                    values = series.values(column)[order]
                    self._feed(i, rows[events], batch.timestamp[events], values)

    def close(
        self, keys: Sequence[RowKey], counts: npt.NDArray[np.integer], sums: FloatArray, end: int
    ) -> None:
        """Feed what is fed by pane: the mean or share of each whole version in a closed pane.

        `counts (k, W)` and `sums (k, M, 2)` are those of a block, `end` the pane's end (ms).
        """
        for key, cells, totals in zip(keys, counts, sums, strict=True):
            if key.slice:
                continue
            rows = np.array([self._registry.row(RowKey(key.version))], np.int64)
            for i, (spec, _, series, _) in enumerate(self._attached):
                own = cells[self._layout.cells(series.position)].astype(np.int64)
                if spec.feed is not Feed.PANE or not own.any():
                    continue
                at = self._layout.numeric
                total = 0.0 if series.is_rate else totals[at.index(series.position), SUM]
                value = series.mean_of(own, float(total))
                # The pane's last millisecond, so that its close is the one that reports it.
                self._feed(i, rows, np.array([end - 1]), np.array([value]))

    def findings(self, now: int, watched: Watched) -> list[Finding]:
        """Return drift that was signalled since the last call, and what watched rows are now.

        Only what was said before `now` (ms) counts. River has no common scale of evidence: the
        statistic is 1 where there was a signal, else 0, and the threshold 1. The effect is the mean
        of the last `RECENT` values less the reference's, in its standard deviations (of a rate: as
        a share), without an interval; `samples` and `start` are of these values.
        """
        found: list[Finding] = []
        for (i, row), track in sorted(self._tracks.items()):
            key = self._registry.keys[row]
            drift = track.signal(now)
            if drift is not None:
                found.append(self._finding(i, key, Verdict.DRIFT, drift, now))
            elif (key, self._attached[i].series.subject) in watched:
                verdict = Verdict.CLEAR if track.calm else Verdict.UNDECIDED
                if track.newest < self._looked:
                    verdict = Verdict.THIN
                found.append(self._finding(i, key, verdict, track.recent(), now))
        self._looked = now
        return found

    def _feed(self, i: int, rows: IntArray, times: IntArray, values: FloatArray) -> None:
        _, _, series, make = self._attached[i]
        inverted = self._attached[i].spec.detector in INVERTED
        usable = series.usable(values)
        self._skipped[i] += len(values) - int(usable.sum())
        kept = (rows[usable].tolist(), times[usable].tolist(), values[usable].tolist())
        for row, time, value in zip(*kept, strict=True):
            track = self._tracks.get((i, row))
            if track is None:
                track = self._tracks[i, row] = Track(make(), inverted)
            track.feed(time, value)

    def _finding(self, i: int, key: RowKey, verdict: Verdict, mean: Mean, now: int) -> Finding:
        spec, name, series, _ = self._attached[i]
        moved = (mean.value - series.mean) / series.deviation
        measure = "share" if series.is_rate else "mean_shift"
        return Finding(
            model=self._model,
            row=key,
            subject=series.subject,
            detector=name,
            verdict=verdict,
            statistic=1.0 if verdict is Verdict.DRIFT else 0.0,
            threshold=1.0,
            effect=Effect(measure, moved, float("nan"), float("nan")),
            samples=mean.values,
            start=min(mean.start, now),
            end=now,
            detail=f"{spec.detector} of River, outside the alert budget",
        )
