"""Extents of a file: none is in use twice, and what is free is used again."""

from hypothesis import given
from hypothesis import strategies as st

from streamgauge.io.spilling.space import Space


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=60))
def test_extents_in_use_never_overlap_and_free_ones_are_one_where_they_touch(
    turns: list[tuple[bool, int]],
) -> None:
    space = Space()
    used: list[tuple[int, int]] = []
    for takes, number in turns:
        if takes or not used:
            room = gaps(used)
            start = space.take(number)
            fitting = [at for at, size in room if size >= number]
            assert start == (fitting[0] if fitting else end(used))
            used.append((start, number))
        else:
            space.give(*used.pop(number % len(used)))
        cells = [at for start, size in used for at in range(start, start + size)]
        assert len(cells) == len(set(cells)) == space.used
        assert space.end == end(used)


def end(used: list[tuple[int, int]]) -> int:
    """Where the last extent in use ends."""
    return max((start + size for start, size in used), default=0)


def gaps(used: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Starts and sizes of what is free between extents in use, by looking at every byte."""
    taken = {at for start, size in used for at in range(start, start + size)}
    found: list[tuple[int, int]] = []
    for at in range(end(used)):
        if at in taken:
            continue
        if found and sum(found[-1]) == at:
            found[-1] = found[-1][0], found[-1][1] + 1
        else:
            found.append((at, 1))
    return found
