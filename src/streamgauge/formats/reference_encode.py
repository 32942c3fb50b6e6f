"""Reference → the objects and lists of its file."""

from dataclasses import asdict
from typing import Final

from streamgauge.core.layout import SubjectKind
from streamgauge.core.reference import Reference
from streamgauge.formats.reference_derived import derived
from streamgauge.formats.reference_encode_field import Entry, field_entry, time_entry
from streamgauge.formats.reference_encode_outcomes import encode_outcomes
from streamgauge.formats.reference_types import FORMAT, VERSION

ABOUT: Final = (
    "Counts of the data a model was trained or validated on. Every list under counts belongs to"
    " the entry of slices.rows in its place; lists end where only zeros follow."
)


def encode(reference: Reference, reference_id: str) -> Entry:
    """Return the content of a reference file; 1-D arrays stand for lists of numbers."""
    schema = reference.layout.schema
    document: Entry = {
        "format": FORMAT,
        "version": VERSION,
        "about": ABOUT,
        "id": reference_id,
        "model": schema.model,
        "task": schema.task.value,
        "classes": list(schema.classes),
        **({"positive": reference.positive} if reference.positive else {}),
        "tags": list(schema.tags),
        "meta": dict(reference.meta),
        "sources": [asdict(source) for source in reference.sources],
        "derived": derived(reference),
        "slices": {
            "by": [
                [
                    {"name": d.name, "bounds": list(d.bounds)} if d.bounds else {"name": d.name}
                    for d in spec.dimensions
                ]
                for spec in reference.slices
            ],
            "rows": [dict(key) for key in reference.rows],
        },
    }
    time = time_entry(reference)
    if time:
        document["time"] = time
    service: Entry = {}
    features: Entry = {}
    for position, item in enumerate(reference.layout.fields):
        entry = field_entry(reference, position)
        match item.subject.kind:
            case SubjectKind.SERVICE:
                service[item.subject.name] = entry
            case SubjectKind.FEATURE:
                features[item.subject.name] = entry
            case kind:
                document[kind.value] = entry
    document |= {"service": service, "features": features}
    outcomes = encode_outcomes(reference)
    if outcomes:
        document["outcomes"] = outcomes
    return document
