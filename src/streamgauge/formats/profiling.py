"""Profiling: from files to a reference, in two passes."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from streamgauge.core.batch import BoolArray, Categories, FloatArray, Task
from streamgauge.core.reference import Reference, ReferenceBuilder, Source
from streamgauge.core.slices import SliceSpec
from streamgauge.core.zone import UTC_ZONE, Zone
from streamgauge.errors import DataError
from streamgauge.formats.ahead import ahead
from streamgauge.formats.data_files import DataFormat, digest
from streamgauge.formats.frames import NO_TIME, ReadAgain
from streamgauge.formats.profile_plan import (
    Plan,
    check_columns,
    check_names,
    fit_plan,
    reuse_plan,
)
from streamgauge.formats.survey import Survey
from streamgauge.formats.table import Table, TableOptions
from streamgauge.formats.table_events import BatchMaker, Events, read_events


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """What to profile, and how.

    Hours of the week are those of `zone`; `bins_of` is a reference whose bins to use instead of new
    ones. `positive` is the positive class of a binary model, the last in order where it is empty.
    """

    paths: tuple[Path, ...]
    model: str
    options: TableOptions = field(default_factory=TableOptions)
    format: DataFormat | None = None
    task: Task | None = None
    slices: tuple[SliceSpec, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    bins_of: Reference | None = None
    zone: Zone = UTC_ZONE
    positive: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """A reference, and what readers should know of how it came about.

    `notes` are remarks by column, `remarks` those on the whole.
    """

    reference: Reference
    notes: Mapping[str, str]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a profile has come: rows read in a pass (1 or 2), of how many if that is known."""

    number: int
    passes: int
    rows: int
    total: int | None


class _Sink(Protocol):
    """What the events of a pass are given to."""

    def add(self, path: Path, rows: Events) -> None: ...


S = TypeVar("S", bound=_Sink)


def profile(
    request: ProfileRequest, progress: Callable[[Progress], None] = lambda _: None
) -> Profile:
    """Return the reference of the data at some paths.

    The first pass looks at the columns and fits bins, the second counts; with bins given there is
    only the second. Raises DataError for data that cannot be counted, UsageError for options that
    do not fit it.
    """
    table = Table(request.paths, _reading_options(request), request.format)
    run = _Run(request, table, progress)
    with ThreadPoolExecutor(1, thread_name_prefix="digest") as digester:
        digests = {
            path: digester.submit(digest, path, files) for path, files in table.files.items()
        }
        counting = run.count()
        sources = tuple(
            Source(path.resolve().name, value, counting.rows[path], size)
            for path, future in digests.items()
            for value, size in (future.result(),)
        )
    reference = counting.builder.finish(meta=request.meta, sources=sources)
    notes = {**counting.plan.notes, **table.notes}
    remarks = [*counting.plan.remarks, *run.remarks]
    if counting.untimed_labels:
        remarks.append(
            f"{counting.untimed_labels:,} labels without a {request.options.label_timestamp} taken"
            " for known when the event happened"
        )
    if request.zone != reference.zone:
        remarks.append(f"without times the time zone {request.zone.name} changes nothing")
    return Profile(reference, notes, tuple(remarks))


class _Surveying:
    """The first pass."""

    def __init__(self, options: TableOptions) -> None:
        self.survey = Survey(options)

    def add(self, path: Path, rows: Events) -> None:  # noqa: ARG002
        self.survey.add(rows)


class _Counting:
    """The second pass."""

    def __init__(self, plan: Plan, request: ProfileRequest) -> None:
        self.plan = plan
        self.builder = ReferenceBuilder(
            plan.layout, plan.slices, zone=request.zone, positive=plan.positive
        )
        self.rows = dict.fromkeys(request.paths, 0)
        self.untimed_labels = 0
        self._maker = BatchMaker(
            plan.layout.schema,
            plan.class_scores,
            positive=plan.positive,
            label_timed=plan.label_timed,
        )

    def add(self, path: Path, rows: Events) -> None:
        batch = self._maker.batch(rows)
        self.builder.add(batch, timed=self.plan.timed)
        self.rows[path] += len(rows)
        if self.plan.timed and batch.label is not None and batch.label_time is not None:
            labelled = _present(batch.label)
            self.untimed_labels += int((labelled & (batch.label_time == NO_TIME)).sum())


class _Run:
    """One profile being made."""

    def __init__(
        self, request: ProfileRequest, table: Table, progress: Callable[[Progress], None]
    ) -> None:
        self._request = request
        self._options = table.options
        self._table = table
        self._progress = progress
        self._total = table.known_rows()
        self._passes = 1 if request.bins_of else 2
        self.remarks: list[str] = []

    def count(self) -> _Counting:
        request = self._request
        if request.bins_of is None:
            survey = self._pass(1, lambda: _Surveying(self._options)).survey
            plan = fit_plan(
                survey,
                self._options,
                request.slices,
                model=request.model,
                task=request.task,
                positive=request.positive,
            )
            return self._pass(2, lambda: _Counting(plan, request))
        first = self._first()
        if self._table.has_header:
            check_columns(request.bins_of, self._table.names)
        reused = reuse_plan(request.bins_of, first, request.slices, positive=request.positive)
        return self._pass(1, lambda: _Counting(reused, request))

    def _first(self) -> Events:
        """Return the first events, which show what a table is whose bins are given."""
        while True:
            with closing(self._table.frames()) as frames:
                try:
                    for _, frame in frames:
                        return read_events(frame, self._options)
                except ReadAgain:
                    continue
            raise DataError(self._nothing())

    def _pass(self, number: int, start: Callable[[], S]) -> S:
        """Give all events to a sink; to a new one where the reading has to begin anew."""
        while True:
            try:
                return self._read(number, start())
            except ReadAgain:
                continue

    def _read(self, number: int, sink: S) -> S:
        rows = untimed = others = 0
        models: set[str] = set()
        checked = False
        with closing(ahead(self._table.frames())) as frames:
            for path, frame in frames:
                if not checked and self._table.has_header:
                    check_names(self._request.options, self._table.names)
                    checked = True
                events = read_events(frame, self._options)
                models |= events.models
                if len(models) > 1 and self._options.model is None:
                    raise DataError(
                        f"{frame.file}: holds events of several models"
                        f" ({', '.join(sorted(models))}); choose one with --model"
                    )
                if len(events):
                    sink.add(path, events)
                rows += len(events)
                untimed += events.untimed
                others += events.others
                self._progress(Progress(number, self._passes, rows, self._total))
        if not checked:
            check_names(self._request.options, self._table.names)
        if not rows:
            raise DataError(self._nothing(untimed, others))
        self.remarks = []
        if untimed:
            self.remarks.append(f"{untimed:,} rows without a {self._options.timestamp} left out")
        if others:
            self.remarks.append(f"{others:,} events of other models left out")
        return sink

    def _nothing(self, untimed: int = 0, others: int = 0) -> str:
        paths = ", ".join(map(str, self._request.paths))
        time = self._options.timestamp
        if untimed:
            return (
                f"{paths}: no row has a {time} that can be read; --ignore {time} profiles without"
                " times"
            )
        if others:
            return f"{paths}: holds no event of model {self._options.model!r}"
        return f"{paths}: no rows, nothing to profile"


def _present(label: Categories | FloatArray) -> BoolArray:
    """Tell which labels there are `(n,)`."""
    if isinstance(label, Categories):
        return np.asarray(label.codes >= 0)
    return np.isfinite(label)


def _reading_options(request: ProfileRequest) -> TableOptions:
    """Return the request's options, and the kinds that given bins imply."""
    if request.bins_of is None:
        return request.options
    schema = request.bins_of.layout.schema
    return replace(
        request.options,
        numeric=request.options.numeric | set(schema.numeric),
        categorical=request.options.categorical | set(schema.categorical),
        tags=request.options.tags | set(schema.tags),
    )
