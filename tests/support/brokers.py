"""What a test sees of a broker, whichever it is."""

from dataclasses import dataclass
from typing import Literal

BrokerName = Literal["apache", "embedded"]


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker that tests share: its kind and its address."""

    name: BrokerName
    bootstrap_servers: str
