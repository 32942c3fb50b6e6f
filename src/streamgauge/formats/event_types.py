"""The typed structs that a model's events are decoded into, generated from its schema."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Final

from msgspec import Meta, Raw, Struct, defstruct

from streamgauge.core.batch import ModelSchema, Task

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
MAX_STATUS_LENGTH: Final = 64

Integer = Annotated[int, Meta(ge=INT64_MIN, le=INT64_MAX)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Duration = Annotated[float, Meta(ge=0)]
Status = Annotated[str, Meta(min_length=1, max_length=MAX_STATUS_LENGTH)]
_AnyScalar = float | str | bool | None
_Tag = Integer | float | bool | str | None

KNOWN_FIELDS: Final = (
    "prediction_id",
    "timestamp",
    "status",
    "model_version",
    "features",
    "prediction",
    "score",
    "tags",
    "latency_ms",
)
"""The fields of an event besides `model`, in the order of the generated struct."""


@dataclass(frozen=True, slots=True)
class EventTypes:
    """The structs of one model.

    `features` has one field for each feature in the order of `feature_names`, then one `Raw` field
    for each unknown feature that was learned; `tags` one for each tag that slices use, then one for
    each other tag that was learned; `event` has `KNOWN_FIELDS`, then one `Raw` field for
    each unknown field that was learned. Anything else in a message is an error, so that nothing is
    skipped unchecked and nothing unknown goes uncounted.

    `loose` are the features whose field lets in every scalar, for streams that keep sending them
    with a wrong type: name of the field, place in `features`, and the type that is right.
    """

    event: type[Struct]
    features: type[Struct]
    tags: type[Struct]
    loose: tuple[tuple[str, int, type], ...]
    unknown_fields: tuple[str, ...]
    """Names of the `Raw` fields of `event`."""
    unknown_features: tuple[str, ...]
    """Names of the `Raw` fields of `features`."""
    tag_names: tuple[str, ...]
    """The tags in the order of the fields of `tags`."""


def feature_names(schema: ModelSchema) -> tuple[str, ...]:
    """All features of a model in the order of the generated struct."""
    return schema.numeric + schema.categorical + schema.boolean


def field_name(place: int) -> str:
    """The name of a struct's field for the feature at a place in `feature_names`."""
    return f"f{place}"


def tag_field(place: int) -> str:
    """The name of a struct's field for the tag at a place in `EventTypes.tag_names`."""
    return f"t{place}"


def can_be_field(name: str) -> bool:
    """Whether msgspec takes a JSON name as a field's name: no quote, backslash or control sign."""
    return name != "" and not any(sign in '"\\' or sign < " " for sign in name)


def is_typed(schema: ModelSchema) -> bool:
    """Whether a model's events can be decoded by type; the others are read one by one."""
    return all(map(can_be_field, (*feature_names(schema), *schema.tags)))


def event_types(
    schema: ModelSchema,
    unknown_fields: tuple[str, ...] = (),
    unknown_features: tuple[str, ...] = (),
    loose_features: tuple[str, ...] = (),
    other_tags: tuple[str, ...] = (),
) -> EventTypes:
    """The structs for a schema, with room for what its stream is known to bring besides."""
    known: list[tuple[str, type]] = [
        *((name, float) for name in schema.numeric),
        *((name, str) for name in schema.categorical),
        *((name, bool) for name in schema.boolean),
    ]
    columns: list[tuple[str, Any]] = [
        (name, _AnyScalar if name in loose_features else kind | None) for name, kind in known
    ] + [(name, Raw) for name in unknown_features]
    # gc=False: no event can be part of a reference cycle, and tracking ten thousand of them costs
    # a collection every few polls.
    features = defstruct(
        "Features",
        [
            # An absent number is NaN at once, which spares the column a conversion.
            (field_name(i), kind, math.nan if i < len(schema.numeric) else None)
            for i, (_, kind) in enumerate(columns)
        ],
        rename={field_name(i): name for i, (name, _) in enumerate(columns)}
        if is_typed(schema)
        else None,
        forbid_unknown_fields=True,
        gc=False,
        eq=False,
    )
    tag_names = schema.tags + other_tags
    tags = defstruct(
        "Tags",
        [(tag_field(i), _Tag, None) for i in range(len(tag_names))],
        rename={tag_field(i): name for i, name in enumerate(tag_names)}
        if is_typed(schema)
        else None,
        forbid_unknown_fields=True,
        gc=False,
        eq=False,
    )
    regression = schema.task is Task.REGRESSION
    prediction: Any = float | None if regression else Integer | str | None
    multiclass = schema.task is Task.MULTICLASS
    score: Any = dict[str, Probability] | None if multiclass else Probability | None
    event = defstruct(
        "Event",
        [
            ("prediction_id", str),
            ("timestamp", Integer | str),
            ("status", Status | None, None),
            ("model_version", Integer | str | None, None),
            ("features", features | None, None),
            ("prediction", prediction, None),
            ("score", score, None),
            ("tags", tags | None, None),
            ("latency_ms", Duration | None, None),
            *((f"u{i}", Raw, None) for i in range(len(unknown_fields))),
        ],
        rename={f"u{i}": name for i, name in enumerate(unknown_fields)},
        tag_field="model",
        tag=schema.model,
        forbid_unknown_fields=True,
        gc=False,
        eq=False,
    )
    loose = tuple(
        (field_name(i), i, kind) for i, (name, kind) in enumerate(known) if name in loose_features
    )
    return EventTypes(
        event=event,
        features=features,
        tags=tags,
        loose=loose,
        unknown_fields=tuple(f"u{i}" for i in range(len(unknown_fields))),
        unknown_features=tuple(field_name(i) for i in range(len(known), len(columns))),
        tag_names=tag_names,
    )
