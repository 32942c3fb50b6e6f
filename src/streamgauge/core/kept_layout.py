"""Layouts as plain data and back: those that were learned stand nowhere else."""

from typing import Any, Final

from streamgauge.core.batch import ModelSchema, Task
from streamgauge.core.bins import Bins, CategoricalBins, NumericBins
from streamgauge.core.layout import Field, Layout, Subject, SubjectKind

_NAMES: Final = ("numeric", "categorical", "boolean", "tags", "classes")


def layout_data(layout: Layout) -> dict[str, Any]:
    """Return a layout as dicts, lists, strings and numbers."""
    schema = layout.schema
    return {
        "model": schema.model,
        "task": schema.task.value,
        **{name: [*getattr(schema, name)] for name in _NAMES},
        "fields": [
            {
                "kind": item.subject.kind.value,
                "name": item.subject.name,
                "bins": _bins_data(item.bins),
            }
            for item in layout.fields
        ],
    }


def layout_of(data: dict[str, Any]) -> Layout:
    """Return the layout that `layout_data` made plain.

    Raises KeyError, TypeError or ValueError for other data.
    """
    names = {name: tuple(data[name]) for name in _NAMES}
    schema = ModelSchema(data["model"], Task(data["task"]), **names)
    fields = (
        Field(Subject(SubjectKind(item["kind"]), item["name"]), _bins_of(item["bins"]))
        for item in data["fields"]
    )
    return Layout(schema, tuple(fields))


def _bins_data(bins: Bins) -> dict[str, Any]:
    if isinstance(bins, NumericBins):
        return {
            "edges": [*bins.edges],
            "groups": [*bins.groups],
            "center": bins.center,
            "scale": bins.scale,
        }
    return {
        "categories": [*bins.categories],
        "rare": [*bins.rare],
        "complete": bins.complete,
    }


def _bins_of(data: dict[str, Any]) -> Bins:
    if "edges" in data:
        return NumericBins(
            tuple(data["edges"]), tuple(data["groups"]), data["center"], data["scale"]
        )
    return CategoricalBins(tuple(data["categories"]), tuple(data["rare"]), data["complete"])
