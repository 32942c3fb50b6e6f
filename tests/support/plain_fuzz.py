"""Broken messages for a compiled reader that watches its memory: `python -m ... LIBRARY MESSAGES`.

In a process of its own, as the sanitizer ends the process that does what it must not.
"""

import json
import sys
from pathlib import Path
from random import Random

import numpy as np

from streamgauge.compiled import load
from streamgauge.core.batch import ModelSchema, Task
from streamgauge.formats.event_time import EventTime
from streamgauge.formats.plain_events import LAYOUT
from streamgauge.formats.plain_predictions import Learned, PlainPredictions
from streamgauge.formats.plain_text import PlainText
from tests.support.native_draws import mutate
from tests.support.native_events import BINARY, event, messages

AT_ONCE = 50
SPECIES = ModelSchema("species", Task.MULTICLASS, numeric=("width",), classes=("a", "b"))
LEARNED = Learned(("trace",), ("extra",), ("zone",))
GOOD = (
    event(trace=[[1, {"a": "é"}], None]),
    event(timestamp="2025-11-24T16:00:00.5+01:00", tags={"zone": 1.5, "desk": "\n\u20ac"}),
    event(features={"extra": {"x": [[[[]]]]}, "distance": "far", "dep_delay": -1.25e-17}),
    event(model="species", prediction="a", score={"a": 0.25, "b": 0.75}, features={}),
)


def main() -> None:
    """Read many broken messages, and say how many were taken."""
    path, count = Path(sys.argv[1]), int(sys.argv[2])
    library = load(path, LAYOUT)
    assert library is not None
    readers = [PlainPredictions(library, s, EventTime()) for s in (BINARY, SPECIES)]
    for reader in readers:
        reader.learn(LEARNED)
    rng = Random(count)
    values = [json.dumps(fields, ensure_ascii=rng.random() < 0.5).encode() for fields in GOOD]
    taken = 0
    for _ in range(0, count, AT_ONCE):
        broken = [mutate(rng, rng.choice(values)) for _ in range(AT_ONCE)]
        # The last ends with the text, wherever it is cut off.
        broken.append(rng.choice(values)[: rng.randrange(400)])
        poll = messages([*broken], [b"p1"] * len(broken))
        text = PlainText.of(poll, EventTime())
        for reader in readers:
            found = reader.read(text, np.arange(len(text), dtype=np.int32))
            reader.batch(found, poll)
            taken += len(found.rows)
    print(taken)  # noqa: T201, which the test reads


if __name__ == "__main__":
    main()
