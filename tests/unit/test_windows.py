"""Windows, drawn: a digit is a pane with that many events, a dot one without, | ends a step."""

import numpy as np
import pytest

from streamgauge.core.blocks import BlockSum, total
from streamgauge.core.windows import WindowSpec, WindowState
from tests.support.counted import NUMERIC, WIDTH, Small, block_of, counted, read
from tests.support.spills import Elsewhere
from tests.support.window_runs import PANE_MS, WindowRun

ROW = 5


def events(count: int) -> list[Small]:
    return [Small(0, ROW, cell=i % WIDTH, value=i) for i in range(count)]


def held(run: WindowRun) -> int:
    """How many events the window says that it holds, checked to be the right ones."""
    expected = counted(run.expected())
    assert read(run.state.totals()) == expected
    rows, counts = run.state.counts()
    assert dict(zip(rows.tolist(), counts.tolist(), strict=True)) == {
        row: cells for row, (cells, _) in expected.items()
    }
    return int(counts.sum())


def play(panes: str, *, window: int, step: int) -> list[int | None]:
    """Close the drawn panes; what the window holds at every step's end, None where it rests."""
    run = WindowRun(window_panes=window, step_panes=step)
    seen: list[int | None] = []
    for pane in panes.replace("|", ""):
        moved = run.close(events(0 if pane == "." else int(pane)))
        if run.closed % step == 0:
            seen.append(held(run) if moved else None)
    return seen


@pytest.mark.parametrize(
    ("panes", "totals"),
    [
        # the window of three steps fills ...
        ("1.|.2|3.|", [1, 3, 6]),
        # ... and lets the oldest step go at every further one
        ("1.|.2|3.|44|..|..|", [1, 3, 6, 13, 11, 8]),
        # once it is empty it rests until there are events again
        ("1.|..|..|..|..|2.|..|", [1, 1, 1, 0, None, 2, 2]),
        # time before the first event does not move it
        ("..|..|.1|", [None, None, 1]),
        # a gap longer than the window leaves nothing of what was before
        ("9.|9.|9.|..|..|..|..|..|.1|1.|", [9, 18, 27, 18, 9, 0, None, None, 1, 2]),
        # a gap as long as the window
        ("9.|..|..|2.|", [9, 9, 9, 2]),
    ],
)
def test_a_window_holds_its_last_steps(panes: str, totals: list[int | None]) -> None:
    assert play(panes, window=6, step=2) == totals


def test_a_window_of_one_step_holds_that_step_alone() -> None:
    """
    panes    |1 2|. 3|. .|
    windows  [===)
                 [===)
    """
    assert play("12|.3|..|", window=2, step=2) == [3, 3, 0]


def test_panes_of_an_unfinished_step_are_not_in_the_window_yet() -> None:
    """
    panes    |1 1|1 1|1|
    window   [=======) ^ not yet
    """
    run = WindowRun(window_panes=4, step_panes=2)
    for _ in range(5):
        run.close(events(1))
    assert held(run) == 4
    assert run.state.end == 4 * PANE_MS
    assert run.state.next_end == 6 * PANE_MS


def test_a_late_pane_revises_its_step() -> None:
    """
    panes    |1 .|. 1|1 .|
    late        2
    window   [===========)
    """
    run = WindowRun(window_panes=6, step_panes=2)
    for count in (1, 0, 0, 1, 1, 0):
        run.close(events(count))
    run.late(1, events(2))
    assert held(run) == 5
    for _ in range(2):
        run.close()
    assert held(run) == 2  # the revised step has left with all that was added to it


def test_a_late_pane_of_a_step_without_events_takes_its_place_in_order() -> None:
    """
    panes    |1 .|. .|. 1|
    late          2
    """
    run = WindowRun(window_panes=6, step_panes=2)
    for count in (1, 0, 0, 0, 0, 1):
        run.close(events(count))
    run.late(2, events(2))
    steps, counts = run.state.step_counts(ROW)
    assert steps.tolist() == [0, 1, 2]
    assert counts.sum(axis=1).tolist() == [1, 2, 1]
    assert held(run) == 4


def test_a_late_pane_of_the_unfinished_step_waits_for_its_end() -> None:
    """
    panes    |1 .|. .|. . .
    late          3    2
    """
    run = WindowRun(window_panes=8, step_panes=4)
    for count in (1, 0, 0, 0, 0, 0, 0):
        run.close(events(count))
    run.late(5, events(2))
    assert held(run) == 1
    run.close()
    assert held(run) == 3


def test_a_late_pane_that_the_window_has_left_changes_nothing() -> None:
    """
    panes    |1 .|. .|. .|
    late        2
    window           [===)
    """
    run = WindowRun(window_panes=2, step_panes=2)
    for count in (1, 0, 0, 0, 0, 1):
        run.close(events(count))
    run.late(1, events(2))
    assert held(run) == 1


def test_a_late_pane_into_a_window_at_rest_takes_it_up_to_the_present() -> None:
    """
    panes    |1 .|. .|. .|. .|. .|.
    late                      2
    window                   [===)   as if it had not rested
    """
    run = WindowRun(window_panes=4, step_panes=2)
    run.close(events(1))
    for _ in range(10):
        run.close()
    assert run.state.next_end is None
    run.late(8, events(2))
    assert run.state.end == 10 * PANE_MS
    assert held(run) == 2
    for _ in range(3):
        run.close()
    assert held(run) == 0


def test_a_late_pane_before_anything_else_is_counted() -> None:
    run = WindowRun(window_panes=4, step_panes=2)
    for _ in range(5):
        run.close()
    run.late(3, events(2))
    assert held(run) == 2
    run.late(0, events(1))
    assert held(run) == 3


def test_a_late_pane_in_the_first_unfinished_step_is_counted_with_it() -> None:
    """
    panes    |. . . .|. 1 .
    late                  2
    """
    run = WindowRun(window_panes=4, step_panes=4)
    for count in (0, 0, 0, 0, 0, 1, 0):
        run.close(events(count))
    run.late(6, events(2))
    run.close()
    assert held(run) == 3


def test_steps_give_one_rows_counts_and_sums() -> None:
    run = WindowRun(window_panes=6, step_panes=2)
    other = [Small(0, ROW + 1, cell=0, value=100)]
    for panes in ([*events(3), *other], [], other, [], events(2), events(1)):
        run.close(panes)
    steps, counts = run.state.step_counts(ROW)
    assert steps.tolist() == [0, 1, 2]
    assert counts.tolist() == [[1, 1, 1], [0, 0, 0], [2, 1, 0]]
    assert run.state.step_sums(ROW).tolist() == [[3.0, -3.0], [0.0, 0.0], [1.0, -1.0]]


def test_the_unfinished_step_is_among_the_latest() -> None:
    """
    panes    |1 2|. 3|4
    window   [=======)
    """
    run = WindowRun(window_panes=4, step_panes=2)
    for count in (1, 2, 0, 3):
        run.close(events(count))
    run.close([*events(4), Small(0, ROW + 1, cell=2, value=7)])
    assert held(run) == 6
    steps, counts = run.state.step_counts(ROW)
    assert steps.tolist() == [0, 1, 2]
    assert counts.sum(axis=1).tolist() == [3, 3, 4]
    assert run.state.step_sums(ROW)[:, 0].tolist() == [1.0, 3.0, 6.0]
    latest = run.state.latest(np.array([ROW, ROW + 1, ROW + 2]))
    assert latest[0].tolist() == counts.sum(axis=0).tolist()
    assert latest[1:].tolist() == [[0, 0, 1], [0, 0, 0]]
    run.close()
    assert held(run) == 8
    assert run.state.latest(np.array([ROW])).sum() == 7


def test_a_value_that_left_the_window_leaves_no_trace_in_its_sums() -> None:
    """1e16 and 1 in one sum cannot be told apart, so sums are not kept by subtraction."""
    run = WindowRun(window_panes=2, step_panes=1)
    run.close([Small(0, ROW, value=10**16)])
    for _ in range(2):
        run.close([Small(0, ROW, value=1)])
    rows, _, sums, extremes = run.state.totals()
    assert rows.tolist() == [ROW]
    assert sums[0, 0].tolist() == [2.0, 2.0]
    assert extremes[0, 0].tolist() == [1.0, 1.0]


def test_memory_is_bounded_by_the_steps_however_long_the_stream() -> None:
    run = WindowRun(window_panes=8, step_panes=2)
    sizes = []
    for _ in range(50):
        run.close(events(4))
        sizes.append(run.state.nbytes)
    assert sizes[7] == max(sizes) == sizes[-1]


def test_totals_of_a_window_do_not_change_with_it() -> None:
    run = WindowRun(window_panes=4, step_panes=1)
    run.close(events(3))
    before = run.state.totals()
    rows, counts = run.state.counts()
    run.close(events(5))
    assert read(before) == counted(events(3))
    assert (rows.tolist(), counts.sum()) == ([ROW], 3)


def test_a_window_knows_its_number_of_steps() -> None:
    assert WindowSpec("1h", 3_600_000, 60_000).steps == 60


def test_a_new_window_is_empty() -> None:
    state = WindowState(WindowSpec("w", 4, 2), WIDTH, NUMERIC)
    assert state.end is None
    assert state.next_end is None
    assert len(state.counts()[0]) == 0
    assert read(state.totals()) == counted([]) == read(block_of([]))
    assert state.step_counts(ROW)[1].shape == (0, WIDTH)
    assert state.step_sums(ROW).shape == (0, NUMERIC)
    assert state.latest(np.array([ROW])).tolist() == [[0] * WIDTH]


@pytest.mark.parametrize("scale", [1.0, 1e-40, 1e140])
def test_rounded_sums_are_good_to_single_precision_and_counts_to_the_last(scale: float) -> None:
    spec = WindowSpec("w", 3 * PANE_MS, PANE_MS)
    exact, rounded = (WindowState(spec, WIDTH, NUMERIC, rounded=each) for each in (False, True))
    for pane in range(5):
        block = block_of(events(7 + pane))
        block = block._replace(sums=block.sums * scale)
        for window in (exact, rounded):
            window.add(pane * PANE_MS, block)
            window.advance((pane + 1) * PANE_MS)
    due, found = exact.totals(), rounded.totals()
    assert found.counts.tolist() == due.counts.tolist()
    assert found.sums == pytest.approx(due.sums, rel=2e-7, abs=0.0)


@pytest.mark.parametrize("panes", [1, 2])
def test_a_closed_pane_is_the_open_step_and_is_never_added_to(panes: int) -> None:
    state = WindowState(WindowSpec("w", 4 * PANE_MS, 2 * PANE_MS), WIDTH, NUMERIC)
    closed = [total([block_of(events(7 + pane))], WIDTH, NUMERIC) for pane in range(panes)]
    sums = [BlockSum(WIDTH, NUMERIC) for _ in range(panes)]
    tokens = []
    for pane, (each, block) in enumerate(zip(sums, closed, strict=True)):
        each.add(block)
        state.close(pane * PANE_MS, each)
        tokens += [part.token for part in state.parts() if part.key == "open"]
    state.add(0, block_of(events(3)))
    tokens += [part.token for part in state.parts() if part.key == "open"]
    assert len(set(tokens)) == panes + 1
    for each, block in zip(sums, closed, strict=True):
        assert read(each.block()) == read(block)
    state.advance(2 * PANE_MS)
    everything = [*closed, block_of(events(3))]
    assert read(state.totals()) == read(total(everything, WIDTH, NUMERIC))


def test_the_packed_counts_of_a_sum_are_kept_until_it_changes() -> None:
    sums = BlockSum(WIDTH, NUMERIC)
    sums.add(block_of(events(7)))
    packed = sums.packed()
    assert sums.packed() is packed
    assert packed.whole().tolist() == sums.block().counts.tolist()
    sums.add(block_of(events(3)))
    assert sums.packed().whole().tolist() == sums.block().counts.tolist() != packed.whole().tolist()


@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_window_is_the_same_to_the_bit_wherever_its_steps_live(every: int) -> None:
    rng = np.random.default_rng(every)
    spec, there = WindowSpec("w", 6 * PANE_MS, 2 * PANE_MS), Elsewhere(every)
    here = WindowState(spec, WIDTH, NUMERIC, rounded=True)
    spilled = WindowState(spec, WIDTH, NUMERIC, rounded=True, spill=there)
    for pane in range(20):
        block = block_of([Small(0, row, row % WIDTH, 1) for row in rng.permutation(150)[:100]])
        block = block._replace(sums=rng.normal(size=block.sums.shape))
        late = block_of([Small(0, int(rng.integers(200)), value=3)])
        for window in (here, spilled):
            window.add(pane * PANE_MS, block)
            if window.next_end == (pane + 1) * PANE_MS:
                window.advance((pane + 1) * PANE_MS)
            if pane % 3 == 2:
                window.add_late((pane - 2) * PANE_MS, late, (pane + 1) * PANE_MS)
        assert bits(spilled) == bits(here)
    assert there.puts > 10


def bits(window: WindowState) -> list[object]:
    """Everything that can be asked of a window, exactly."""
    blocks = [window.totals(), window.totals([7, 40, 149]), window.totals([])]
    found: list[object] = [array.tobytes() for block in blocks for array in block]
    for row in (7, 149, 1_000):
        found += [array.tobytes() for array in window.step_counts(row)]
        found.append(window.step_sums(row).tobytes())
    found += [array.tobytes() for array in window.counts()]
    found += [(part.key, part.token, repr(part.data())) for part in window.parts()]
    return [*found, window.nbytes]
