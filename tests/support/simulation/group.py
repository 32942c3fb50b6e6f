"""Simulated group: members with generations, one token, and sessions that time out."""

from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaError

SESSION_S: Final = 10.0


class Refused(Exception):  # noqa: N818
    """The broker's answer is an error, of this code."""

    def __init__(self, code: int) -> None:
        super().__init__(KafkaError(code).str())
        self.code = code


@dataclass(eq=False)
class Member:
    """One member as the broker knows it; `alive` is whether it sends heartbeats."""

    name: str
    generation: int = -1
    alive: bool = True
    silent_since: float = 0.0


@dataclass
class Group:
    """Gives the token to one member, and leaves it there as long as that member lasts."""

    generation: int = 0
    members: dict[str, Member] = field(default_factory=dict)
    holder: str | None = None
    moving: bool = False
    """Whether the group waits for all its members to join the next generation."""
    _now: float = 0.0
    _names: int = 0

    def join(self) -> Member:
        """Let a new member in, with the next generation."""
        self._names += 1
        member = Member(f"member-{self._names}")
        self.members[member.name] = member
        self.rebalance()
        return member

    def leave(self, name: str) -> None:
        """Let a member go, by its own word."""
        if self.members.pop(name, None) is not None:
            self.rebalance()

    def lose(self, name: str) -> None:
        """Give up a member whose session has ended."""
        self.leave(name)

    def silence(self, name: str, *, alive: bool) -> None:
        """Note that a member's heartbeats stop, or begin again."""
        member = self.members.get(name)
        if member is not None:
            member.alive, member.silent_since = alive, self._now
            if alive:
                self._settle()

    def rebalance(self) -> None:
        """Begin the next generation, once every member that is not given up has come along."""
        self.moving = True
        self._settle()

    def pass_time(self, now: float) -> None:
        """Give up the members that have been silent for too long."""
        self._now = now
        for member in list(self.members.values()):
            if not member.alive and now - member.silent_since >= SESSION_S:
                self.leave(member.name)

    def check(self, generation: int, name: str) -> None:
        """Refuse what does not come from a member of this generation.

        As Kafka does, let offsets of a transaction pass that names no member at all.
        """
        if generation < 0 and (not name or not self.members):
            return
        member = self.members.get(name)
        if member is None:
            raise Refused(KafkaError.UNKNOWN_MEMBER_ID)
        if generation != self.generation:
            raise Refused(KafkaError.ILLEGAL_GENERATION)

    def _settle(self) -> None:
        if not self.moving or not all(member.alive for member in self.members.values()):
            return
        self.moving = False
        self.generation += 1
        for member in self.members.values():
            member.generation = self.generation
        if self.holder not in self.members:
            self.holder = next(iter(self.members), None)
