import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from jsonschema import Draft202012Validator, ValidationError

from streamgauge.core.alerts.book import AlertBook
from streamgauge.core.alerts.policy import AlertPolicy
from streamgauge.core.findings import Effect, Verdict
from streamgauge.formats.alert_event import (
    AlertEvent,
    alert_event,
    alert_schema,
    encode,
    moment,
    rfc3339,
)
from tests.support.alert_findings import EWR, HOUR, T0, UA, finding

POLICY = AlertPolicy(resolve_after=0, labels=(("team", "pricing"),))
SCHEMA = Draft202012Validator(alert_schema())


def lifetime() -> tuple[AlertBook, list[bytes]]:
    book = AlertBook("flights", POLICY)
    drift = finding(at=UA, onset=T0 - 61_001, excess=2.0)
    records = [
        *book.update([drift, finding(at=EWR)], T0),
        *book.update([replace(drift, verdict=Verdict.CLEAR), finding(Verdict.CLEAR, EWR)], T0 + 1),
    ]
    return book, [encode(record, "flights", T0 + 5).value for record in records]


def test_the_body_has_the_fields_of_the_contract_and_no_others() -> None:
    contract = (
        "alert_id, fingerprint, revision, status, severity, model, model_version, slice, subject, "
        "detector, statistic, threshold, effect, samples, window, onset, starts_at, ends_at, "
        "summary, causes, labels, annotations"
    )
    body = json.loads(lifetime()[1][0])
    assert list(body) == contract.split(", ")
    assert list(body["subject"]) == ["kind", "name"]
    assert list(body["effect"]) == ["measure", "value", "lower", "upper"]
    assert list(body["window"]) == ["start", "end"]
    assert body["slice"] == {"carrier": "UA"}
    assert body["labels"] == {"team": "pricing"}
    assert body["causes"] == []
    assert body["annotations"]["also_moved"] == "origin=EWR"


def test_times_are_rfc_3339_in_utc_with_milliseconds() -> None:
    firing, resolved = map(json.loads, lifetime()[1])
    assert firing["onset"] == "2013-10-08T03:58:58.999Z"
    assert firing["window"] == {
        "start": "2013-10-08T03:55:00.000Z",
        "end": "2013-10-08T04:00:00.000Z",
    }
    assert firing["starts_at"] == "2013-10-08T04:00:00.000Z"
    assert firing["ends_at"] is None
    assert resolved["ends_at"] == "2013-10-08T04:00:00.001Z"


@pytest.mark.parametrize("ms", [0, 1, -1, T0, 253_402_300_799_999])
def test_a_moment_survives_its_text(ms: int) -> None:
    parsed = datetime.fromisoformat(rfc3339(moment(ms)))
    assert (parsed - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1) == ms


def test_other_time_zones_are_written_in_utc() -> None:
    local = datetime(2013, 10, 8, 6, 0, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(local) == "2013-10-08T04:00:00.000Z"


def test_every_body_is_valid_under_the_published_schema() -> None:
    Draft202012Validator.check_schema(alert_schema())
    for value in lifetime()[1]:
        SCHEMA.validate(json.loads(value))


@pytest.mark.parametrize(
    "change",
    [
        {"status": "gone"},
        {"severity": "fatal"},
        {"revision": 0},
        {"samples": -1},
        {"slice": {"carrier": 1}},
        {"subject": {"kind": "weather", "name": "rain"}},
        {"summary": None},
        {"causes": None},
    ],
)
def test_the_schema_refuses_what_no_alert_can_be(change: dict[str, object]) -> None:
    body = json.loads(lifetime()[1][0])
    with pytest.raises(ValidationError):
        SCHEMA.validate(body | change)


def test_the_schema_requires_every_field_of_the_body() -> None:
    body = json.loads(lifetime()[1][0])
    for name in body:
        with pytest.raises(ValidationError, match=f"'{name}' is a required property"):
            SCHEMA.validate({key: value for key, value in body.items() if key != name})


def test_a_reader_gets_back_what_was_written() -> None:
    (record,) = AlertBook("flights", POLICY).update([finding(at=UA, onset=T0)], T0)
    value = encode(record, "flights", T0).value
    assert AlertEvent.model_validate_json(value) == alert_event(record)


def test_a_reader_ignores_fields_of_later_versions() -> None:
    body = json.loads(lifetime()[1][0]) | {"added_later": 1}
    SCHEMA.validate(body)
    AlertEvent.model_validate_json(json.dumps(body))


def test_numbers_that_json_lacks_become_null() -> None:
    odd = finding(
        statistic=float("inf"), effect=Effect("psi", float("nan"), float("-inf"), float("inf"))
    )
    (record,) = AlertBook("flights").update([odd], T0)
    body = json.loads(encode(record, "flights", T0).value)
    assert body["statistic"] is None
    assert body["effect"] == {"measure": "psi", "value": None, "lower": None, "upper": None}
    SCHEMA.validate(body)


def test_causes_are_published_as_they_are() -> None:
    (record,) = AlertBook("flights").update([finding()], T0)
    causes = ({"feature": "distance", "share": 0.4}, {"slice": {"carrier": "UA"}})
    body = json.loads(encode(replace(record, causes=causes), "flights", T0).value)
    assert body["causes"] == list(causes)
    SCHEMA.validate(body)


def test_the_message_is_a_binary_cloud_event_keyed_by_the_fingerprint() -> None:
    (record,) = AlertBook("flights").update([finding()], T0)
    message = encode(record, "flights/eu 1", T0 + HOUR)
    assert message.key == record.fingerprint.encode()
    assert dict(message.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": f"{record.alert_id}-1".encode(),
        "ce_type": b"io.streamgauge.alert.v1",
        "ce_source": b"/streamgauge/flights%2Feu%201",
        "ce_time": b"2013-10-08T05:00:00.000Z",
        "content-type": b"application/json",
    }
    assert encode(replace(record, revision=2), "flights", T0).headers[1] == (
        "ce_id",
        f"{record.alert_id}-2".encode(),
    )
