from itertools import combinations

from streamgauge.core.alerts.identity import AlertKey, alert_id, fingerprint, topic_of
from streamgauge.core.layout import Subject, SubjectKind
from tests.support.alert_findings import DISTANCE, UA, WHOLE, finding

KEY = AlertKey("flight-delay", "4", DISTANCE, "distribution")


def test_slices_are_about_the_same() -> None:
    assert topic_of(finding(at=UA)) == topic_of(finding(at=WHOLE)) == KEY


def test_everything_that_an_alert_is_about_is_in_its_fingerprint() -> None:
    others = [
        fingerprint("flights", KEY),
        fingerprint("other", KEY),
        fingerprint("flights", KEY._replace(model="x")),
        fingerprint("flights", KEY._replace(version="x")),
        fingerprint("flights", KEY._replace(detector="x")),
        fingerprint("flights", KEY._replace(subject=Subject(SubjectKind.FEATURE, "x"))),
        fingerprint("flights", KEY._replace(subject=Subject(SubjectKind.SCORE, "distance"))),
        fingerprint("flights", KEY._replace(anchor="carrier=UA")),
    ]
    assert all(len(text) == 16 and int(text, 16) >= 0 for text in others)
    assert all(a != b for a, b in combinations(others, 2))


def test_neighbouring_parts_cannot_be_mistaken_for_each_other() -> None:
    a = AlertKey("ab", "c", DISTANCE, "d")
    b = AlertKey("a", "bc", DISTANCE, "d")
    assert fingerprint("x", a) != fingerprint("x", b)


def test_a_fingerprint_never_changes_between_releases() -> None:
    # A stored value on purpose: message keys and ids in people's topics hang on it.
    assert fingerprint("flights", KEY) == "0c7855f689cfa6c0"


def test_each_firing_has_an_id_of_its_own_that_a_replay_repeats() -> None:
    assert alert_id("f", 1) == alert_id("f", 1)
    assert len({alert_id("f", 1), alert_id("f", 2), alert_id("g", 1)}) == 3
