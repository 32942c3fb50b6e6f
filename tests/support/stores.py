"""A join store's model in plain dictionaries, and random work for both."""

import random
from collections.abc import Sequence

import numpy as np

from streamgauge.core.joining.keys import keys
from streamgauge.core.joining.store import KEY_BYTES, Keys, Space, Store

Content = dict[Space, dict[int, dict[bytes, bytes]]]
LENGTHS = {Space.PREDICTIONS: 60, Space.LABELS: 21}
"""Lengths of the records of random work."""


def octets(some: Keys) -> list[bytes]:
    """Keys as bytes."""
    return [key.tobytes() for key in some]


def words(some: Sequence[bytes]) -> Keys:
    """Bytes as keys."""
    return np.frombuffer(b"".join(some), np.uint64).reshape(-1, KEY_BYTES // 8)


ALL_KEYS = octets(keys("m", (f"p{i}" for i in range(3_000))))


def put(
    store: Store, space: Space, bucket: int, some: Sequence[bytes], values: Sequence[bytes]
) -> None:
    """Write records of one length, given as bytes."""
    length = len(values[0]) if values else 0
    records = np.frombuffer(b"".join(values), f"V{length}") if length else np.empty(0, "V0")
    known = np.isin(np.arange(len(some)), store.get(space, words(some)).place)
    store.put(space, np.full(len(some), bucket), words(some), records, known=known)


def get(store: Store, space: Space, some: Sequence[bytes]) -> list[bytes | None]:
    """Look records up as bytes; None where there is none."""
    values: list[bytes | None] = [None] * len(some)
    found = store.get(space, words(some))
    for place, record in zip(found.place.tolist(), found.records, strict=True):
        values[place] = record.tobytes()
    return values


class Model:
    """What a store should hold: records by space, bucket and key."""

    def __init__(self) -> None:
        self.content: Content = {space: {} for space in Space}

    def put(
        self, space: Space, bucket: int, keys: Sequence[bytes], values: Sequence[bytes]
    ) -> None:
        """Write records."""
        self.content[space].setdefault(bucket, {}).update(zip(keys, values, strict=True))

    def drop(self, space: Space, bucket: int) -> None:
        """Forget a bucket."""
        self.content[space].pop(bucket, None)

    def records(self, space: Space) -> dict[bytes, bytes]:
        """All records of a space by key."""
        return {k: v for rows in self.content[space].values() for k, v in rows.items()}

    def copy(self) -> Content:
        """The content, to be kept."""
        return {
            space: {bucket: dict(rows) for bucket, rows in buckets.items()}
            for space, buckets in self.content.items()
        }


def work(store: Store, model: Model, rng: random.Random, *, most: int = 200) -> None:
    """Do one random thing to a store and its model: put, put again, or drop the oldest bucket."""
    space = rng.choice(list(Space))
    buckets = model.content[space]
    held = model.records(space)
    kind = rng.random()
    if kind < 0.15 and buckets:
        oldest = min(buckets) if rng.random() < 0.8 else rng.choice(list(buckets))
        store.drop(space, oldest)
        model.drop(space, oldest)
        return
    if kind < 0.4 and buckets:
        bucket = rng.choice(list(buckets))
        some = rng.sample(list(buckets[bucket]), rng.randint(1, len(buckets[bucket])))
    else:
        bucket = rng.randint(0, 5)
        some = [key for key in rng.sample(ALL_KEYS, rng.randint(1, most)) if key not in held]
    if not some:
        return
    values = [rng.randbytes(LENGTHS[space]) for _ in some]
    put(store, space, bucket, some, values)
    model.put(space, bucket, some, values)


def assert_same(store: Store, content: Content) -> None:
    """Look every key up, in both spaces, and the buckets."""
    model = Model()
    model.content = content
    for space in Space:
        records = model.records(space)
        assert get(store, space, ALL_KEYS) == [records.get(key) for key in ALL_KEYS]
        assert list(store.sizes(space)) == sorted(content[space])
