"""Labels that come from rows: model, version and slice."""

from collections.abc import Mapping, Sequence

from streamgauge.core.slices import RowKey
from streamgauge.io.metrics.text import label_values


def row_labels(rows: Sequence[RowKey], model: str) -> Mapping[RowKey, str]:
    """Return the labels of a model's rows, such as `model="m",model_version="3",slice="a=b"`.

    `model` is the model's own label, escaped. Different rows have different labels, whatever their
    values are.
    """
    versions = [*dict.fromkeys(key.version for key in rows)]
    version_labels = dict(zip(versions, label_values(versions), strict=True))
    slices = {key.slice: key.label() for key in rows if key.slice}
    slice_labels = dict(zip(slices, label_values([*slices.values()], [*slices]), strict=True))
    labels = {}
    for key in rows:
        label = f'model="{model}",model_version="{version_labels[key.version]}"'
        labels[key] = f'{label},slice="{slice_labels[key.slice]}"' if key.slice else label
    return labels
