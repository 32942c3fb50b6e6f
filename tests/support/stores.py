"""A join store's model in plain dictionaries, and random work for both."""

import random
from collections.abc import Sequence

from streamgauge.core.joining.keys import keys
from streamgauge.core.joining.store import Space, Store

Content = dict[Space, dict[int, dict[bytes, bytes]]]
ALL_KEYS = keys("m", (f"p{i}" for i in range(3_000)))


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
    values = [rng.randbytes(rng.randint(0, 80)) for _ in some]
    store.put(space, bucket, some, values)
    model.put(space, bucket, some, values)


def assert_same(store: Store, content: Content) -> None:
    """Look every key up, in both spaces, and the buckets."""
    model = Model()
    model.content = content
    for space in Space:
        records = model.records(space)
        assert store.get(space, ALL_KEYS) == [records.get(key) for key in ALL_KEYS]
        assert list(store.sizes(space)) == sorted(content[space])
