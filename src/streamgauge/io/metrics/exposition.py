"""Exposition: a snapshot rendered to bytes once, to be served until a later one is.

The library for Prometheus renders some 90,000 samples a second while it holds the interpreter, so
the bulk of the series is written here, straight from arrays.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from streamgauge.core.layout import STATUS, Layout, Subject
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import Counters, DetectorStats, ModelSnapshot, Snapshot
from streamgauge.io.metrics.catalogue import CATALOGUE
from streamgauge.io.metrics.count_tables import CountTables
from streamgauge.io.metrics.detector_tables import DetectorTables, subject_columns
from streamgauge.io.metrics.field_labels import FieldLabels
from streamgauge.io.metrics.metric import Metric
from streamgauge.io.metrics.model_lines import Line, model_lines
from streamgauge.io.metrics.outcome_tables import OutcomeTables
from streamgauge.io.metrics.payload import Payload
from streamgauge.io.metrics.row_labels import row_labels
from streamgauge.io.metrics.selection import Candidates, RenderLimits, select, share
from streamgauge.io.metrics.tables import Column, Samples, Writer
from streamgauge.io.metrics.text import label_value, label_values, openmetrics_header, text_header
from streamgauge.io.metrics.window_tables import WindowTables

SLICE_CAP: Final = "slice_cap"
"""Slices that the snapshot already lacks."""
MODEL_CAP: Final = "model_cap"
PROCESS_CAP: Final = "process_cap"
DROP_REASONS: Final = (SLICE_CAP, MODEL_CAP, PROCESS_CAP)


class Form(NamedTuple):
    """What a scrape asks for."""

    openmetrics: bool
    gzip: bool


SliceValues = tuple[tuple[str, str], ...]
_Families = defaultdict[Metric, list[Samples]]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered snapshot: the families of models and slices in both formats.

    The OpenMetrics text lacks its `# EOF`, so that more families can follow. `series` is how many
    samples are in it, `dropped` how many a cap kept out, by reason, added up over all that its
    renderer has rendered.
    """

    text: Payload
    openmetrics: Payload
    series: int
    dropped: Mapping[str, int]

    def payload(self, form: Form) -> Payload:
        """Return the text in the format asked for."""
        return self.openmetrics if form.openmetrics else self.text

    def is_ready(self, form: Form) -> bool:
        """Tell whether nothing is left to be made for a scrape of this form."""
        return self.payload(form).is_ready(gzip=form.gzip)

    def make_ready(self, form: Form) -> None:
        """Make what a scrape of this form needs."""
        self.payload(form).make_ready(gzip=form.gzip)


def render(snapshot: Snapshot, limits: RenderLimits | None = None) -> Rendered:
    """Render a snapshot once; a `Renderer` remembers labels from one snapshot to the next."""
    return Renderer(limits or RenderLimits()).render(snapshot)


def candidates(model: ModelSnapshot, limits: RenderLimits) -> Candidates:
    """Return what could be exported of one model, before any cap."""
    memory = _Memory(label_value(model.model))
    memory.follow(model)
    return _Draft.of(model, memory, limits).candidates


class Renderer:
    """Renders snapshots within limits and remembers the labels of what it has rendered."""

    def __init__(self, limits: RenderLimits) -> None:
        self._limits = limits
        self._memories: dict[str, _Memory] = {}
        self._dropped = dict.fromkeys(DROP_REASONS, 0)

    def render(self, snapshot: Snapshot) -> Rendered:
        """Render a snapshot."""
        names = label_values([model.model for model in snapshot.models])
        self._memories = {
            model.model: self._memory(model, name)
            for model, name in zip(snapshot.models, names, strict=True)
        }
        drafts = [
            _Draft.of(model, self._memories[model.model], self._limits) for model in snapshot.models
        ]
        wanted = [draft.candidates.wanted for draft in drafts]
        capped = [
            min(all_of_it, self._limits.of(draft.model))
            for draft, all_of_it in zip(drafts, wanted, strict=True)
        ]
        families: _Families = defaultdict(list)
        shares = share(capped, self._limits.total)
        for draft, cap, mine, all_of_it in zip(drafts, shares, capped, wanted, strict=True):
            exported = draft.write(families, self._limits, cap)
            self._dropped[PROCESS_CAP if cap < mine else MODEL_CAP] += all_of_it - exported
            self._dropped[SLICE_CAP] += draft.absent_slices * draft.candidates.slice_cost
        return _assemble(families, dict(self._dropped))

    def _memory(self, model: ModelSnapshot, name: str) -> "_Memory":
        known = self._memories.get(model.model)
        if known is None or known.name != name:
            known = _Memory(name)
        known.follow(model)
        return known


@dataclass(slots=True)
class _Memory:
    """What is remembered of a model: its label, those of its fields, subjects and rows."""

    name: str
    fields: FieldLabels | None = None
    subjects: tuple[tuple[Subject, ...], ...] = ()
    """Those of each of the model's detectors."""
    columns: tuple[tuple[Column, ...], ...] = ()
    """Those of the subjects, in the fields' layout."""
    rows: tuple[RowKey, ...] = ()
    writer: Writer = dataclasses.field(default_factory=lambda: Writer({}))

    def follow(self, model: ModelSnapshot) -> None:
        subjects = tuple(stats.subjects for stats in _detectors(model))
        if model.layout is None:
            self.fields, self.subjects, self.columns = None, (), ()
        elif self.fields is None or self.fields.layout != model.layout or self.subjects != subjects:
            self.fields = FieldLabels.of(model.layout)
            self.subjects = subjects
            self.columns = tuple(subject_columns(mine, model.layout) for mine in subjects)
        rows = _rows(model)
        if self.rows != rows:
            self.rows = rows
            self.writer.follow(row_labels(rows, self.name))


@dataclass(frozen=True, slots=True)
class _Draft:
    """One model's candidates before it is known how much room they have."""

    model: str
    lines: list[Line]
    firing: frozenset[SliceValues]
    absent_slices: int
    writer: Writer
    candidates: Candidates

    @classmethod
    def of(cls, model: ModelSnapshot, memory: _Memory, limits: RenderLimits) -> "_Draft":
        lines = list(model_lines(model, memory.name, memory.fields))
        candidates = Candidates(len(lines), (), (), (), ())
        if model.counters is not None and memory.fields is not None:
            versions, slices = _by_traffic(model, model.counters, memory.fields.layout)
            counts = CountTables.of(model.counters, memory.fields)
            of_versions, of_slices = [*counts.for_versions()], [*counts.for_slices()]
            if model.outcomes is not None:
                outcomes = OutcomeTables.of(model.outcomes)
                of_versions += outcomes.for_versions()
                of_slices += outcomes.for_slices(limits.slice_metrics)
            for window in model.windows:
                tables = WindowTables.of(window, memory.fields)
                of_versions += tables.for_versions(limits.measures, limits.quantiles)
                of_slices += tables.for_slices(limits.slice_measures)
            for stats, columns in zip(_detectors(model), memory.columns, strict=True):
                detectors = DetectorTables.of(stats, columns)
                of_versions += detectors.for_versions()
                of_slices += detectors.for_slices()
            candidates = Candidates(len(lines), versions, slices, of_versions, of_slices)
        firing = frozenset(alert.slice for alert in model.alerts)
        return cls(model.model, lines, firing, model.dropped_rows, memory.writer, candidates)

    def write(self, families: _Families, limits: RenderLimits, cap: int) -> int:
        """Add the samples that fit under the cap; return how many series that may be."""
        allowed = limits.allow.get(self.model, frozenset())
        first = frozenset(
            key
            for key in self.candidates.slices
            if key.slice in self.firing or (allowed and key.label() in allowed)
        )
        selection = select(self.candidates, first, cap)
        for metric, line in self.lines[:cap]:
            families[metric].append(Samples(line, 1))
        for table in self.candidates.version_tables:
            for chosen in selection.versions[table.tier]:
                families[table.metric].append(self.writer.write(table, chosen))
        for table in self.candidates.slice_tables:
            families[table.metric].append(self.writer.write(table, selection.slices))
        self.writer.finish()
        return selection.series


def _detectors(model: ModelSnapshot) -> list[DetectorStats]:
    """Return a model's detectors: those of events, of outcomes and of the labels' coverage."""
    found = [model.detectors]
    if model.outcomes is not None:
        found += [model.outcomes.detectors, model.outcomes.coverage_detectors]
    return [stats for stats in found if stats is not None]


def _rows(model: ModelSnapshot) -> tuple[RowKey, ...]:
    """Return the rows with events, then those whose labels alone came since the start."""
    rows = model.counters.rows if model.counters is not None else ()
    if model.outcomes is None:
        return rows
    known = {*rows}
    labelled = zip(model.outcomes.rows, model.outcomes.labelled.tolist(), strict=True)
    return (*rows, *(key for key, count in labelled if count and key not in known))


def _by_traffic(
    model: ModelSnapshot, counters: Counters, layout: Layout
) -> tuple[list[RowKey], list[RowKey]]:
    """Return versions and slices, each by the number of their events, largest first.

    Those without any in the longest window, such as versions that serve no more, come last: they
    would crowd out what is there now.
    """
    position = layout.position(STATUS)
    assert position is not None, "every layout counts statuses"
    events = counters.counts[:, layout.cells(position)].sum(axis=1).tolist()
    traffic = dict.fromkeys(_rows(model), 0) | dict(zip(counters.rows, events, strict=True))
    lately = {*model.windows[-1].rows} if model.windows else {*traffic}
    keys = sorted(traffic, key=lambda key: (key not in lately, -traffic[key], key))
    return [key for key in keys if not key.slice], [key for key in keys if key.slice]


def _assemble(families: _Families, dropped: dict[str, int]) -> Rendered:
    text: list[bytes] = []
    openmetrics: list[bytes] = []
    series = 0
    for metric in CATALOGUE:
        samples = families.get(metric, ())
        count = sum(part.number for part in samples)
        if count:
            series += count
            lines = "".join([part.text for part in samples]).encode()
            text += (text_header(metric).encode(), lines, b"\n")
            openmetrics += (openmetrics_header(metric).encode(), lines, b"\n")
    # Few ask for both formats: neither is put together before it is asked for.
    return Rendered(Payload(*text), Payload(*openmetrics), series, dropped)
