"""A window's totals equal a recount of its events, whatever comes when, late or with gaps.

Wherever its steps live, too.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.counted import WIDTH, Small, counted, read
from tests.support.spills import Elsewhere
from tests.support.window_runs import WindowRun

EVENTS = st.lists(
    st.builds(
        Small,
        pane=st.just(0),
        row=st.integers(0, 3),
        cell=st.integers(0, WIDTH - 1),
        value=st.integers(-100, 100),
    ),
    min_size=1,
    max_size=3,
)
TURNS = st.lists(
    st.one_of(
        st.tuples(st.just("pane"), EVENTS),
        st.tuples(st.just("late"), EVENTS),
        st.tuples(st.just("gap"), st.integers(1, 30)),
    ),
    max_size=40,
)


@settings(max_examples=150)
@given(TURNS, st.integers(1, 4), st.integers(1, 4), st.sampled_from([0, 1, 2]), st.data())
def test_totals_equal_a_recount(
    turns: list[tuple[str, list[Small] | int]],
    step: int,
    steps: int,
    every: int,
    data: st.DataObject,
) -> None:
    run = WindowRun(window_panes=step * steps, step_panes=step, spill=Elsewhere(every))
    for kind, turn in turns:
        if isinstance(turn, int):
            for _ in range(turn):
                run.close()
        elif kind == "late" and run.closed:
            run.late(data.draw(st.integers(max(0, run.closed - 20), run.closed - 1)), turn)
        else:
            run.close(turn)
        expected = counted(run.expected())
        assert read(run.state.totals()) == expected
        rows, counts = run.state.counts()
        found = dict(zip(rows.tolist(), counts.tolist(), strict=True))
        assert found == {row: cells for row, (cells, _) in expected.items()}
