"""Labels that come from a model's layout: features and predicted classes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from streamgauge.core.bins import CategoricalBins, NumericBins
from streamgauge.core.layout import PREDICTION, Field, Layout, SubjectKind
from streamgauge.io.metrics.tables import Column
from streamgauge.io.metrics.text import label_values, number

NO_CLASSES: Final = ("(other)", "(unseen)", "(missing)", "(wrong type)")
"""Values of the label `value` for predictions that are none of the listed classes."""


@dataclass(frozen=True, slots=True)
class FieldLabels:
    """The labels of a layout's fields, escaped once for as long as the layout lives.

    `features` holds `,feature="..."` by field position, "" for what is no feature; `classes` holds
    `,value="..."` by the prediction's cells, nothing for numeric predictions; `histograms` holds
    the columns of a numeric field's histogram by field position: buckets, then count and sum where
    `has_sum`.
    """

    layout: Layout
    features: tuple[str, ...]
    classes: tuple[str, ...]
    histograms: Mapping[int, tuple[Column, ...]]

    @classmethod
    def of(cls, layout: Layout) -> "FieldLabels":
        """Return the labels of a layout."""
        names = iter(label_values([f.subject.name for f in layout.fields if is_feature(f)]))
        features = tuple(
            f',feature="{next(names)}"' if is_feature(field) else "" for field in layout.fields
        )
        position = layout.position(PREDICTION)
        bins = None if position is None else layout.fields[position].bins
        classes: list[str] = []
        if isinstance(bins, CategoricalBins):
            texts = [*bins.categories, *NO_CLASSES]
            classes = label_values(texts, list(enumerate(texts)))
        histograms = {
            position: tuple(_histogram(position, features[position], field.bins))
            for position, field in enumerate(layout.fields)
            if isinstance(field.bins, NumericBins)
        }
        return cls(layout, features, tuple(f',value="{text}"' for text in classes), histograms)


def is_feature(field: Field) -> bool:
    """Tell whether a field is a feature of the model."""
    return field.subject.kind is SubjectKind.FEATURE


def has_sum(bins: NumericBins) -> bool:
    """Tell whether the sum of a field's values only grows: no value of the reference is negative.

    A sum that falls is no counter, and OpenMetrics forbids it; the count goes with it.
    """
    return bins.edges[0] >= 0


def _histogram(position: int, label: str, bins: NumericBins) -> Iterator[Column]:
    bounds = [*(number(bins.edges[start - 1]) for start in bins.groups[1:]), "+Inf"]
    for bound in bounds:
        yield (position, "_bucket", f'{label},le="{bound}"')
    if has_sum(bins):
        yield (position, "_count", label)
        yield (position, "_sum", label)
