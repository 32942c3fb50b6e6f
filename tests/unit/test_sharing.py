"""How a poll is shared out between two threads."""

import pytest

from streamgauge.formats.sharing import FIRST, LEAST, LONGEST_PAUSE, MOST, Sharing


def test_few_messages_are_not_shared_out() -> None:
    assert Sharing().given(LEAST - 1) == 0
    assert Sharing().given(LEAST) == int(LEAST * FIRST)


@pytest.mark.parametrize(("own", "other"), [(250e3, 250e3), (250e3, 50e3), (250e3, 10e6)])
def test_both_come_to_be_done_at_once(own: float, other: float) -> None:
    sharing = Sharing()
    for _ in range(100):
        sharing.done(own, other)
    given = sharing.given(10_000)
    assert given == pytest.approx(10_000 * min(other / (own + other), MOST), abs=2)


def test_what_is_declined_is_tried_again_more_and_more_seldom() -> None:
    sharing = Sharing()
    between = []
    for _ in range(12):
        sharing.declined()
        waited = 0
        while not sharing.given(10_000):
            waited += 1
        between.append(waited)
    assert between == [min(2**n, LONGEST_PAUSE) for n in range(12)]
    sharing.done(1.0, 1.0)
    sharing.declined()
    assert [sharing.given(10_000) > 0 for _ in range(2)] == [False, True]
