"""Slices as they are written in the file, and the core's specifications of them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Final

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from streamgauge.config.places import Place
from streamgauge.config.section import refusal, shown
from streamgauge.core.slices import VERSION_DIMENSION, Dimension, SliceSpec

MOST_DIMENSIONS: Final = 4
"""How many dimensions may be crossed: more leave too few events in a slice to say anything."""
MOST_BOUNDS: Final = 100
"""How many cut points a numeric dimension may have."""
_LONGEST_NAME: Final = 200


def parse_slice(value: object) -> SliceSpec:
    """Return the specification that one entry of `slices` names.

    A text is one dimension, `{distance: [500, 1500]}` a numeric one with its cut points, and a
    list of these is a crossed slice. Raises a pydantic error for anything else.
    """
    if isinstance(value, SliceSpec):
        return value
    if not isinstance(value, list | tuple):
        return SliceSpec((_dimension(value),))
    if len(value) < 2:
        raise refusal("a list crosses dimensions and needs two or more; write one without brackets")
    if len(value) > MOST_DIMENSIONS:
        raise refusal(f"crosses {len(value)} dimensions; cross at most {MOST_DIMENSIONS}")
    dimensions = tuple(_dimension(entry) for entry in value)
    names = [dimension.name for dimension in dimensions]
    for name in names:
        if names.count(name) > 1:
            raise refusal(f"names the dimension {shown(name)} twice; keep one of them")
    return SliceSpec(dimensions)


def dump_slice(spec: SliceSpec) -> object:
    """Return the entry of `slices` that `parse_slice` reads as this specification."""
    entries = [
        {dimension.name: list(dimension.bounds)} if dimension.bounds else dimension.name
        for dimension in spec.dimensions
    ]
    return entries[0] if len(entries) == 1 else entries


def slice_problems(specs: Sequence[SliceSpec]) -> Iterator[tuple[Place, str]]:
    """Yield the index and text of each entry that repeats or contradicts one before it."""
    seen: dict[frozenset[str], int] = {}
    cuts: dict[str, tuple[tuple[float, ...], int]] = {}
    for index, spec in enumerate(specs):
        names = frozenset(dimension.name for dimension in spec.dimensions)
        first = seen.setdefault(names, index)
        if first != index:
            yield (index,), f"is the same slice as slices[{first}]; keep one of them"
            continue
        for dimension in spec.dimensions:
            bounds, other = cuts.setdefault(dimension.name, (dimension.bounds, index))
            if bounds != dimension.bounds:
                text = f"cuts a feature in another way than slices[{other}]; write the same bounds"
                yield (index,), text


def core_specs(specs: Iterable[SliceSpec]) -> tuple[SliceSpec, ...]:
    """Return the slices to count, each once, in order.

    Every statistic is kept per model version, so that dimension adds nothing and is left out.
    """
    counted: dict[SliceSpec, None] = {}
    for spec in specs:
        dimensions = tuple(d for d in spec.dimensions if d.name != VERSION_DIMENSION)
        if dimensions:
            counted[SliceSpec(dimensions)] = None
    return tuple(counted)


def _dimension(value: object) -> Dimension:
    if isinstance(value, str):
        return Dimension(_name(value))
    if isinstance(value, dict) and len(value) == 1:
        [(name, bounds)] = value.items()
        return Dimension(_name(name), _bounds(bounds))
    if isinstance(value, dict):
        raise refusal("must cut one feature per entry; write it as in {distance: [500, 1500]}")
    raise refusal(
        "must be a name, {feature: [bounds]} or a list of these to cross them; write it as in"
        " carrier or [carrier, origin]"
    )


def _name(value: str) -> str:
    name = str(value)
    if not name or len(name) > _LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise refusal(
            f"must name a feature or tag; write 1 to {_LONGEST_NAME} printable characters without"
            " spaces around them"
        )
    if "," in name:
        raise refusal(f"{shown(value)} holds a comma; write [a, b] to cross two dimensions")
    return name


def _bounds(value: object) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or not 0 < len(value) <= MOST_BOUNDS:
        raise refusal(
            f"bounds must be a list of 1 to {MOST_BOUNDS} numbers; write it as in [500, 1500]"
        )
    numbers: list[float] = []
    for entry in value:
        if isinstance(entry, bool) or not isinstance(entry, int | float):
            raise refusal("bounds must be numbers; write them as in [500, 1500]")
        if not math.isfinite(entry):
            raise refusal("bounds must be finite; the outer ranges are open by themselves")
        numbers.append(float(entry))
    if any(low >= high for low, high in pairwise(numbers)):
        raise refusal("bounds must ascend; write each once, from small to large")
    if len({Dimension("", (number,)).range_labels() for number in numbers}) < len(numbers):
        raise refusal("bounds are so close that their ranges look alike; write fewer")
    return tuple(numbers)


_DIMENSION_SCHEMA: Final = {
    "oneOf": [
        {"type": "string", "minLength": 1, "maxLength": _LONGEST_NAME, "pattern": "^[^,]+$"},
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": {
                "type": "array",
                "items": {"type": "number"},
                "minItems": 1,
                "maxItems": MOST_BOUNDS,
            },
        },
    ]
}

SliceEntry = Annotated[
    SliceSpec,
    PlainValidator(parse_slice),
    PlainSerializer(dump_slice),
    WithJsonSchema(
        {
            "oneOf": [
                *_DIMENSION_SCHEMA["oneOf"],
                {
                    "type": "array",
                    "items": _DIMENSION_SCHEMA,
                    "minItems": 2,
                    "maxItems": MOST_DIMENSIONS,
                },
            ],
            "examples": ["carrier", ["carrier", "origin"], {"distance": [500, 1500]}],
        }
    ),
]
"""One entry of `slices`: a `SliceSpec`, written as `parse_slice` reads it."""
