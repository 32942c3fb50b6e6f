"""Settings: does the Kafka client take them? Found out by creating clients that know no broker."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, Producer

from streamgauge.config.librdkafka import Setting
from streamgauge.io.kafka.admin import silent_logger
from streamgauge.io.kafka.group_settings import as_member

_MEMBER: Final[Mapping[str, Any]] = {"group.id": "check"}
_WRITER: Final[Mapping[str, Any]] = {"enable.idempotence": True}
"""What the kinds of client that run rely on, which settings can contradict."""
_FETCHES: Final = "sasl.oauthbearer."
"""A client with these begins to ask for a token as soon as it is created."""
_RANGE: Final = re.compile(r"outside allowed range (\S+)\.\.(\S+)")


class Unaccepted(NamedTuple):
    """A setting that the client does not take, or None for several together; why, and a remedy."""

    key: str | None
    text: str


def unaccepted(settings: Mapping[str, Setting]) -> Iterator[Unaccepted]:
    """Yield what is wrong with a client's settings; no message holds a value.

    Nothing is connected to. Each setting is tried alone, then all together.
    """
    tried = {
        key: value
        for key, value in settings.items()
        if key != "bootstrap.servers" and not key.startswith(_FETCHES)
    }
    if tried.get("sasl.mechanism") == "OAUTHBEARER":
        del tried["sasl.mechanism"]
        tried.pop("security.protocol", None)
    found = False
    for key, value in tried.items():
        problem = _told(Consumer, {key: value, "group.id": "check"})
        if problem is not None and not problem.startswith("Failed to create"):
            found = True
            yield Unaccepted(key, _alone(problem))
    if found:
        return
    for client, needed in ((Consumer, {**_MEMBER, **as_member(tried)}), (Producer, _WRITER)):
        problem = _told(client, {**needed, **tried})
        if problem is not None:
            about, text = _together(problem)
            yield Unaccepted(about if about in tried else None, text)
            return


def _told(client: Callable[..., object], settings: Mapping[str, Any]) -> str | None:
    """Return what creating a client says against its settings."""
    try:
        client({**settings, "logger": silent_logger()})
    except KafkaException as error:
        return " ".join(error.args[0].str().split())
    except (TypeError, ValueError) as error:
        return " ".join(str(error).split())
    return None


def _alone(problem: str) -> str:
    """Return what is wrong with one setting; the client's own words may hold the value."""
    if problem.startswith("No such configuration property"):
        return "is no setting of librdkafka; correct its name, or remove it"
    allowed = _RANGE.search(problem)
    if allowed:
        return f"is not from {allowed[1]} to {allowed[2]}; write a value in that range"
    return "has a value that librdkafka does not take; write one from its list of settings"


def _together(problem: str) -> tuple[str | None, str]:
    """Return the setting that a failed creation is about, if it is about one, and what is wrong."""
    problem = re.sub(r"^Failed to create \w+: ", "", problem)
    about = re.match(r"(ssl\.[a-z.]+) failed: (error:[0-9A-F]+:)?", problem)
    if about:
        return about[1], f"is not usable: {problem[about.end() :]}; correct it"
    return None, f"the Kafka client does not take these settings: {problem}; correct them"
