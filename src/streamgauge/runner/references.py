"""References: what they know of a model's slices and times, and what they lack."""

from collections.abc import Iterator, Sequence
from typing import Final

from streamgauge.config import ModelConfig, format_duration
from streamgauge.config.slices import core_specs
from streamgauge.core.reference import Reference, SliceKey
from streamgauge.core.slices import SliceSpec
from streamgauge.runner.checklist import Grade, Item
from streamgauge.runner.plan import KnownModel

_DAY_MS: Final = 86_400_000


def known_slices(specs: Sequence[SliceSpec], reference: Reference) -> tuple[SliceKey, ...]:
    """Return the slices that are configured and that the reference knows, busiest first."""
    names = {tuple(d.name for d in spec.dimensions) for spec in specs if spec in reference.slices}
    known = [
        (row, key)
        for row, key in enumerate(reference.rows)
        if key and tuple(name for name, _ in key) in names
    ]
    traffic = reference.block.counts[:, reference.layout.cells(0)].sum(axis=1).tolist()
    return tuple(key for row, key in sorted(known, key=lambda at: (-traffic[at[0]], at[1])))


def reference_items(known: KnownModel, model: ModelConfig) -> Iterator[Item]:
    """Yield what a reference lacks for what is configured."""
    reference, name = known.reference, known.spec.model
    place = ("models", name, "reference")
    made_for = reference.layout.schema.model
    if made_for not in ("", name):
        yield Item(
            Grade.NOTE,
            f"model {name}",
            f"has a reference that was made for model {made_for}",
            "check that it is the right file",
            place,
        )
    for index, entry in enumerate(model.slices):
        for spec in core_specs([entry]):
            if spec not in reference.slices:
                yield _unprofiled(name, index, spec, reference)
    yield from _time_items(name, model, reference)
    few = sum(
        1
        for row in known_slices(known.spec.slices, reference)
        if _events(reference, row) < model.min_samples
    )
    if few:
        yield Item(
            Grade.NOTE,
            f"model {name}",
            f"has {few:,} slices with fewer than {model.min_samples:,} events in its reference;"
            " little can be said about them",
            "profile more data, or slice more coarsely",
            place,
        )


def _events(reference: Reference, key: SliceKey) -> int:
    row = reference.row(key)
    assert row is not None, "the slice is one of the reference's"
    return int(reference.block.counts[row, reference.layout.cells(0)].sum())


def _unprofiled(name: str, index: int, spec: SliceSpec, reference: Reference) -> Item:
    names = {dimension.name for dimension in spec.dimensions}
    alike = [s for s in reference.slices if {d.name for d in s.dimensions} == names]
    there = f"has {option_text(alike[0])} in its reference" if alike else "has no such slices there"
    return Item(
        Grade.NOTE,
        f"model {name}",
        f"will have no distances for slices[{index}] ({option_text(spec)}): it {there}",
        f"profile again with --slice {option_text(spec)}",
        ("models", name, "slices", index),
    )


def option_text(spec: SliceSpec) -> str:
    """Return a specification as the option --slice of `profile` reads it."""
    return ",".join(
        ":".join([dimension.name, *(f"{bound:.15g}" for bound in dimension.bounds)])
        for dimension in spec.dimensions
    )


def _time_items(name: str, model: ModelConfig, reference: Reference) -> Iterator[Item]:
    place = ("models", name, "reference")
    if reference.span is None:
        yield Item(
            Grade.NOTE,
            f"model {name}",
            "has a reference without timestamps, so how much traffic varies by itself is not known"
            " and there may be more false alarms than the budget",
            "profile data with a timestamp column",
            place,
        )
        return
    span = reference.span[1] - reference.span[0]
    longest = model.windows[-1]
    if span < _DAY_MS:
        yield Item(
            Grade.NOTE,
            f"model {name}",
            f"has a reference of {_span(span)}: what changes with the hour of the day will look"
            " like drift",
            "profile a week or more",
            place,
        )
    elif span < longest:
        yield Item(
            Grade.NOTE,
            f"model {name}",
            f"has a window of {format_duration(longest)}, longer than its reference"
            f" ({_span(span)})",
            "profile a longer time, or use shorter windows",
            ("models", name, "windows", len(model.windows) - 1),
        )


def _span(milliseconds: int) -> str:
    hours = milliseconds / 3_600_000
    if hours < 2:
        return f"{hours * 60:.0f} minutes"
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"
