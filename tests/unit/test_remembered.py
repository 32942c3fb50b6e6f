"""What is made of an object is made once, as long as no other one comes between."""

from streamgauge.core.remembered import Remembered


def test_what_was_made_is_found_by_the_very_object_and_not_by_an_equal_one() -> None:
    made: list[tuple[str, ...]] = []

    def number(given: tuple[str, ...]) -> int:
        made.append(given)
        return len(made)

    find = Remembered(number)
    first, equal = (tuple(letters) for letters in ("ab", "ab"))
    assert first is not equal
    assert [find(each) for each in (first, first, equal, equal, first)] == [1, 1, 2, 2, 3]
