"""Draws for the properties of decoders: JSON values, good and broken times, messages, mutations."""

import json
from collections.abc import Mapping
from random import Random
from typing import Any

from hypothesis import strategies as st

from streamgauge.formats.messages import RawMessages
from tests.support.native_events import T0

# JSON that no Python value is written as; put in after the rest is encoded.
RAW = {
    "@huge": "1" * 400,
    "@inf": "1e999",
    "@word": "18446744073709551616",
    "@long": "0.1000000000000000055511151231257827",
    "@zero": "-0",
    "@octal": "01",
    "@half": '"\\ud800"',
    "@deep": "[" * 40 + "]" * 40,
}
anything = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 7, 0.5, 1.0, 1.5, -0.0, 1e300, 2**63, -(2**63), 2**64 - 1),
        *("", "a", "b", "1", "ok", "UA", "\0", "\\u0000", "é", "😀", "x" * 65, "x" * 1025),
        *(float("nan"), float("inf"), [], {}, [1, {"a": None}], {"a": 1.0}, {"a": 0.5, "b": 0.5}),
        *RAW,
    ]
)
timestamps = st.sampled_from(
    [
        *(T0, T0 + 301_000, T0 + 301_001, 0, -1, T0 * 1000, T0 // 1000, 946_684_800_000),
        *("2025-11-24T16:00:00Z", "2025-11-24t17:00:00.1239+01:00", "2025-11-24T16:00:00"),
        *(
            "2025-11-24T16:00:60z",
            "2025-02-30T16:00:00Z",
            "2025-11-24",
            "2025-11-24T16:00:00+25:00",
        ),
        *("1999-12-31T23:59:59.999Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"),
    ]
)


@st.composite
def sent(draw: st.DrawFn, fields: Mapping[str, Any]) -> tuple[bytes | None, bytes | None]:
    """The value and key of a message of these fields in any order; seldom some other bytes."""
    names = draw(st.permutations(list(fields)))
    ordered = {name: fields[name] for name in names}
    text = json.dumps(ordered, ensure_ascii=draw(st.booleans()))
    for token, raw in RAW.items():
        text = text.replace(f'"{token}"', raw)
    key = fields.get("prediction_id")
    own_key = key.encode() if isinstance(key, str) else b"p1"
    oddities = [b"", b"null", b"[]", text.encode()[:-1], b"\xef\xbb\xbf" + text.encode()]
    value = draw(st.sampled_from([text.encode()] * 20 + [None, *oddities]))
    return value, draw(st.sampled_from([own_key] * 30 + [None, b"", b"p2"]))


def part(poll: RawMessages, start: int, stop: int) -> RawMessages:
    """The messages from `start` up to `stop`."""
    return RawMessages(
        values=poll.values[start:stop],
        keys=poll.keys[start:stop],
        partition=poll.partition[start:stop],
        offset=poll.offset[start:stop],
        broker_timestamp=poll.broker_timestamp[start:stop],
    )


def mutate(rng: Random, value: bytes) -> bytes:
    """Bytes replaced, removed, inserted or doubled at a few places."""
    data = bytearray(value)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        place = rng.randrange(len(data) + 1)
        some = bytes(rng.choice(b'{}[]",:\\u0189.eE+-ntf\x00\x7f\xff\xed ') for _ in range(2))
        end = place + rng.choice([0, 1, 1, 2, 40])
        data[place:end] = rng.choice([some[:1], some, b"", data[place:end] * 2])
    return bytes(data)
