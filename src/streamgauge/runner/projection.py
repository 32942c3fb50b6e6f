"""Projection: what monitoring would take, if production looked like the references.

Everything is counted by the code that runs: series by the exposition, watched subjects by the
detectors. What a reference cannot know (versions to come, values it has never seen) is bounded by
the caps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from streamgauge.config import Config, format_duration
from streamgauge.core.blocks import SUM
from streamgauge.core.engine import ModelEngine
from streamgauge.core.layout import Layout
from streamgauge.core.reference import Reference, SliceKey
from streamgauge.core.slices import RowKey
from streamgauge.core.snapshot import Counters, ModelSnapshot
from streamgauge.core.summary import Summarizer
from streamgauge.io.metrics.exposition import candidates
from streamgauge.io.metrics.selection import Candidates, Selection, select, share
from streamgauge.io.metrics.tables import Tier
from streamgauge.runner.checklist import Grade, Item
from streamgauge.runner.footprint import memory, most_rows
from streamgauge.runner.plan import KnownModel, LearnedModel, Plan, fit_schema, render_limits
from streamgauge.runner.references import known_slices, reference_items

_VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class Projection:
    """What one version of a model takes.

    `slices` are those that the reference knows, of `rows` rows with the whole; `exported_slices`
    of them fit under the caps of series. Of `series_wanted` there are `series` at most, because
    there is no more `room` under the caps of the model and of the process; figures that are not
    defined are counted too. `left_out` tells what does not fit. In every row `subjects` are
    watched, `watched` of them in all rows together. `memory` is in bytes
    for rows that all have events all the time; `memory_at_caps` with as many versions and slices
    as the limits let in.
    """

    model: str
    reference_id: str
    events: int
    rows: int
    slices: int
    exported_slices: int
    series: int
    series_wanted: int
    room: int
    left_out: tuple[str, ...]
    subjects: int
    watched: int
    memory: int
    memory_at_caps: int


def project(plan: Plan) -> tuple[Projection, ...]:
    """Return the projections of the models whose references are known."""
    limits = render_limits(plan.config)
    drafts = [_Draft.of(plan.config, model) for model in plan.known]
    wanted = [candidates(draft.snapshot, limits) for draft in drafts]
    capped = [
        min(found.wanted, limits.of(draft.snapshot.model))
        for found, draft in zip(wanted, drafts, strict=True)
    ]
    # What models will want whose references are yet to be learned is not known: their caps.
    capped += [limits.of(model.spec.model) for model in plan.learned]
    rooms = share(capped, limits.total)
    return tuple(
        draft.project(plan.config, found, room)
        for draft, found, room in zip(drafts, wanted, rooms[: len(drafts)], strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    """A model as it would be once production has brought all that its reference holds."""

    model: KnownModel
    layout: Layout
    slices: tuple[SliceKey, ...]
    subjects: int
    snapshot: ModelSnapshot

    @classmethod
    def of(cls, config: Config, model: KnownModel) -> "_Draft":
        spec, reference = model.spec, model.reference
        schema = fit_schema(spec.model, config.models[spec.model], reference)
        layout = Layout(schema, reference.layout.fields)
        engine = ModelEngine(spec, layout, reference, model.reference_id)
        slices = known_slices(spec.slices, reference)
        return cls(
            model,
            layout,
            slices,
            len(engine.watches()),
            _as_in_the_reference(engine, reference, slices[: spec.exported_slices]),
        )

    def project(self, config: Config, found: Candidates, room: int) -> Projection:
        spec, reference = self.model.spec, self.model.reference
        selection = select(found, frozenset(), room)
        rows = 1 + len(self.slices)
        disorder = config.time.disorder
        return Projection(
            model=spec.model,
            reference_id=self.model.reference_id,
            events=reference.events,
            rows=rows,
            slices=len(self.slices),
            exported_slices=len(selection.slices.keys),
            series=selection.series,
            series_wanted=found.wanted,
            room=room,
            left_out=tuple(_left_out(found, selection)),
            subjects=self.subjects,
            watched=rows * self.subjects,
            memory=memory(self.layout, spec, rows, disorder),
            memory_at_caps=memory(self.layout, spec, most_rows(spec, reference), disorder),
        )


def _left_out(found: Candidates, selection: Selection) -> Iterator[str]:
    whole = {tier: bool(selection.versions[tier][0].keys) for tier in Tier}
    if not (whole[Tier.COUNTS] and whole[Tier.WINDOWS]):
        yield "counts and window figures of some fields"
    if not whole[Tier.HISTOGRAMS]:
        yield "histograms of some fields"
    lost = len(found.slices) - len(selection.slices.keys)
    if lost:
        yield f"{lost:,} of {len(found.slices):,} slices"


def _as_in_the_reference(
    engine: ModelEngine, reference: Reference, slices: tuple[SliceKey, ...]
) -> ModelSnapshot:
    """Return a snapshot in which one version's rows hold what the reference does."""
    keys = tuple(RowKey(_VERSION, key) for key in ((), *slices))
    at = np.array([reference.row(key.slice) for key in keys], np.intp)
    block = reference.block.take(at)
    counters = Counters(keys, block.counts.astype(np.int64), block.sums[..., SUM])
    # Which figures there are depends neither on the row nor on the window: one of each is enough.
    first, whole = engine.spec.windows[0], block.take(slice(0, 1))
    figures = Summarizer(engine.layout, reference).summarize(first, 0, whole, keys[:1])
    return replace(
        engine.snapshot(watermark=0),
        last_event=0,
        counters=counters,
        windows=tuple(replace(figures, window=spec.name) for spec in engine.spec.windows),
        outcomes=None if engine.outcomes is None else engine.outcomes.projected(keys),
    )


def projection_items(plan: Plan, projections: Sequence[Projection]) -> Iterator[Item]:
    """Yield what there is to say of references, slices and series."""
    by_name = {projection.model: projection for projection in projections}
    for known in plan.known:
        name = known.spec.model
        found = by_name[name]
        text = f"has reference {found.reference_id} ({found.events:,} events,"
        text += f" {found.slices:,} slices)"
        yield Item(Grade.OK, f"model {name}", text, "", ("models", name, "reference"))
        yield from reference_items(known, plan.config.models[name])
        yield from _series_items(found, plan.config)
    for learned in plan.learned:
        yield _learned_item(learned)


def _learned_item(model: LearnedModel) -> Item:
    name = model.spec.model
    text = f"learns its reference for {format_duration(model.learn_ms)} of event time; until then"
    text += " nothing is compared, and its fields, its slices and the plan of its alert budget are"
    text += " not known"
    return Item(Grade.OK, f"model {name}", text, "", ("models", name, "reference"))


def _series_items(found: Projection, config: Config) -> Iterator[Item]:
    """Yield what does not fit under the caps of series."""
    if found.series_wanted <= found.room:
        return
    limits = config.models[found.model].limits
    own = found.room >= limits.series
    yield Item(
        Grade.NOTE,
        f"model {found.model}",
        f"would have {found.series_wanted:,} series, and {found.room:,} fit in; left out are"
        f" {', '.join(found.left_out)}",
        f"raise {'its limits.series' if own else 'limits.series of the process'}, or use fewer"
        " windows or exported_slices",
        ("models", found.model, "limits", "series") if own else ("limits", "series"),
    )
