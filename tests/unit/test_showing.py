"""Figures are held back until they are abreast of what was shown before."""

from streamgauge.runner.showing import Showing

A, B = ("predictions", 0), ("predictions", 1)


def test_without_a_past_all_is_shown_at_once() -> None:
    showing = Showing(10.0)
    showing.begin(0.0, restored=False)
    assert showing.may(0.0, {A: 0}, behind=True)


def test_what_another_process_may_have_shown_is_read_again_first() -> None:
    showing = Showing(10.0)
    showing.begin(100.0, restored=True)
    assert not showing.may(101.0, {A: 5}, behind=True)
    assert showing.may(102.0, {A: 9}, behind=False)
    assert showing.may(103.0, {A: 9}, behind=True), "once abreast, lag does not matter"


def test_with_a_long_way_to_go_figures_are_held_back_no_longer_than_patience() -> None:
    showing = Showing(10.0)
    showing.begin(100.0, restored=True)
    assert not showing.may(109.9, {A: 5}, behind=True)
    assert showing.may(110.0, {A: 5}, behind=True)


def test_what_this_process_has_shown_is_read_again_first_however_long_it_takes() -> None:
    showing = Showing(10.0)
    showing.begin(0.0, restored=False)
    assert showing.may(1.0, {A: 50, B: 40}, behind=False)
    showing.begin(2.0, restored=True)
    assert not showing.may(2.0, {A: 60, B: 39}, behind=False)
    assert not showing.may(50.0, {A: 60, B: 39}, behind=True)
    assert showing.may(51.0, {A: 60, B: 40}, behind=True)
