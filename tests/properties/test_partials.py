"""Whatever a worker sends comes back as it was."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.blocks import Block
from streamgauge.core.contribution import Contribution
from streamgauge.core.joining.records import Joined, Pending
from streamgauge.core.partial import Partial
from streamgauge.core.slices import RowKey
from streamgauge.formats.partials import Sent, decode, encode_counts

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
KEYS = st.builds(RowKey, TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple))


@st.composite
def contributions(draw: st.DrawFn) -> Contribution:
    keys = tuple(draw(st.lists(KEYS, min_size=1, max_size=12, unique=True)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    top = draw(st.sampled_from([1, 2**8, 2**31, 2**62]))
    width, numeric = draw(st.integers(1, 9)), draw(st.integers(0, 3))

    def block() -> Block:
        rows = rng.permutation(len(keys))[: rng.integers(1, len(keys) + 1)].astype(np.int64)
        return Block(
            rows,
            rng.integers(0, top, (len(rows), width)),
            rng.normal(size=(len(rows), numeric, 2)),
            rng.choice([-np.inf, np.inf, 1.5], (len(rows), numeric, 2)),
        )

    panes = sorted(draw(st.sets(st.integers(-(2**40), 2**40), max_size=4)))
    counts = st.dictionaries(TEXT, st.integers(1, 2**40), min_size=1, max_size=4)
    unseen = draw(st.dictionaries(TEXT, counts, max_size=2))
    grown = draw(st.dictionaries(st.sampled_from(["joined", "labels"]), st.integers(1, 2**40)))
    new = Pending(*events(rng, len(keys), draw(st.booleans()))[:5])
    joined = Joined(*events(rng, len(keys), draw(st.booleans())))
    return Contribution(
        keys,
        Partial(
            tuple((pane, block()) for pane in panes),
            unseen,
            tuple((pane, block()) for pane in panes[:2]),
        ),
        draw(st.none() | st.integers(-(2**62), 2**62)),
        draw(st.sampled_from([None, new])),
        draw(st.sampled_from([None, joined])),
        grown,
    )


def events(rng: np.random.Generator, rows: int, numbers: bool) -> list[Any]:
    """Columns of pairs of a classifier, or of a regression."""
    n = int(rng.integers(1, 30))
    values = rng.normal(size=(2, n)) if numbers else rng.integers(0, 5, (2, n)).astype(np.int32)
    return [
        rng.integers(-(2**60), 2**60, n),
        rng.integers(0, rows, (n, 3)),
        rng.integers(0, 300, (n, 4)).astype(np.uint16),
        values[0],
        rng.choice([np.nan, 0.5], n),
        values[1],
        rng.integers(-(2**60), 2**60, n),
        rng.choice([-1, 1], n).astype(np.int8),
        rng.random(n) < 0.5,
    ]


@given(contributions())
def test_a_contribution_comes_back_under_the_keys_of_its_rows(content: Contribution) -> None:
    messages = [decode(value) for value in encode_counts(Sent("m", "terms", content))]
    pieces: list[tuple[int, Block]] = []
    fine: list[tuple[int, Block]] = []
    back: dict[str, Any] = {"new": None, "joined": None, "unseen": {}, "grown": {}}
    for message in messages:
        assert isinstance(message, Sent)
        assert message[:2] == ("m", "terms")
        found = message.content
        assert found.last_event == content.last_event
        # Rows under the numbers of the keys that they were sent with.
        numbers = np.array([content.keys.index(key) for key in found.keys], np.int64)
        renamed = found.in_rows(numbers, content.keys)
        pieces += renamed.partial.pieces
        fine += renamed.partial.fine
        back["unseen"] |= renamed.partial.unseen
        back["grown"] |= dict(renamed.grown)
        for name in ("new", "joined"):
            if getattr(renamed, name) is not None:
                assert back[name] is None, "what is small is in one message"
                back[name] = getattr(renamed, name)
    assert back["unseen"] == content.partial.unseen
    assert back["grown"] == content.grown
    same: list[tuple[Any, Any]] = []
    for found_blocks, sent_blocks in (
        (pieces, content.partial.pieces),
        (fine, content.partial.fine),
    ):
        assert [pane for pane, _ in found_blocks] == [pane for pane, _ in sent_blocks]
        same += zip((b for _, b in found_blocks), (b for _, b in sent_blocks), strict=True)
    for name in ("new", "joined"):
        assert (back[name] is None) == (getattr(content, name) is None)
        if back[name] is not None:
            same.append((back[name], getattr(content, name)))
    for mine, sent in same:
        for a, b in zip(mine, sent, strict=True):
            np.testing.assert_array_equal(a, b)
