"""Overlap: whether two rows of one version can hold the same event."""

from streamgauge.core.slices import RowKey


def disjoint(a: RowKey, b: RowKey) -> bool:
    """Say whether no event can be in both rows: a shared dimension has different values."""
    for dimension, value in a.slice:
        for other, other_value in b.slice:
            if dimension == other and value != other_value:
                return True
    return False


def contains(outer: RowKey, inner: RowKey) -> bool:
    """Say whether every event of `inner` is in `outer` too, which is another row."""
    return len(outer.slice) < len(inner.slice) and set(outer.slice) <= set(inner.slice)
