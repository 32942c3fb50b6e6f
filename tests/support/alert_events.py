"""Alert events as they are published, for tests of what reads them."""

from typing import Any


def alert_event(**changes: Any) -> dict[str, Any]:
    """Return an alert about the demo's fault, with some fields changed."""
    event: dict[str, Any] = {
        "alert_id": "a1",
        "fingerprint": "f1",
        "revision": 1,
        "status": "firing",
        "severity": "warning",
        "model": "flight-delay",
        "model_version": "4",
        "slice": {"carrier": "UA"},
        "subject": {"kind": "feature", "name": "distance"},
        "detector": "distribution",
        "statistic": 9.0,
        "threshold": 1.0,
        "effect": {"measure": "tvd", "value": 0.4, "lower": 0.3, "upper": 0.5},
        "samples": 900,
        "window": {"start": "2013-10-08T00:00:00.000Z", "end": "2013-10-09T00:00:00.000Z"},
        "onset": "2013-10-08T04:00:00.000Z",
        "starts_at": "2013-10-09T00:00:00.000Z",
        "ends_at": None,
        "summary": "distance moved.",
        "causes": [],
        "labels": {},
        "annotations": {},
    }
    return event | changes
