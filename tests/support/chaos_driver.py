"""The driver: does replicas harm by a seeded schedule, and looks that they recover."""

import random
import signal
import time
from dataclasses import dataclass, field

from tests.support.apache_kafka import ApacheKafka
from tests.support.chaos_proxy import Proxy, Wire
from tests.support.chaos_stage import App, Replica, wait_for


@dataclass
class Measured:
    """What was done, and how long recoveries took (s)."""

    done: int = 0
    times: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.times:
            return f"{self.done}"
        ordered = sorted(self.times)
        middle, most = ordered[len(ordered) // 2], ordered[-1]
        return f"{self.done}, median {middle:.1f} s, at most {most:.1f} s"


def kill_over_and_over(app: App, seed: int, times: int, *, longest_life: float = 1.0) -> Measured:
    """Kill -9 the only replica at random moments of its life, and start it again.

    One time in five its join store is lost as well, one in ten state and offsets are compared. Some
    are killed before they have taken over. Returns how long it took from the start of the next one
    until it worked.
    """
    rng = random.Random(seed)
    measured = Measured()
    while measured.done < times:
        app.stream.check()
        replica = app.start()
        if rng.random() < 0.1:
            time.sleep(rng.uniform(0.1, 2.0))
        else:
            measured.times.append(until_active(app, replica))
            time.sleep(rng.uniform(0.0, longest_life))
        app.look()
        replica.end(signal.SIGKILL)
        measured.done += 1
        if rng.random() < 0.2:
            app.lose_join_store()
        if rng.random() < 0.1:
            app.inspect()
    return measured


def freeze_over_and_over(app: App, seed: int, times: int) -> Measured:
    """Stop the active one of two replicas until the other has taken over, then let it go on.

    The one that was stopped must see that it is not active any more, and live on as the standby.
    Returns how long the takeovers took.
    """
    rng = random.Random(seed)
    measured = Measured()
    active, standby = app.start("a"), app.start("b")
    wait_for("a replica works", lambda: active.active or standby.active)
    if standby.active:
        active, standby = standby, active
    until_standing_by(app, standby)
    while measured.done < times:
        app.stream.check()
        app.look()
        time.sleep(rng.uniform(0.0, 1.0))
        active.send(signal.SIGSTOP)
        began = time.monotonic()
        try:
            until_active(app, standby)
            measured.times.append(time.monotonic() - began)
            time.sleep(rng.uniform(0.0, 0.5))
        finally:
            active.send(signal.SIGCONT)
        until_standing_by(app, active)
        active, standby = standby, active
        measured.done += 1
    return measured


def rebalance_over_and_over(app: App, seed: int, seconds: float, every: float = 3.0) -> Measured:
    """Let three replicas join and leave, one change every few seconds; one is always there."""
    rng = random.Random(seed)
    measured = Measured()
    there: dict[str, Replica] = {"a": app.start("a")}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(every)
        app.stream.check()
        app.look()
        slot = rng.choice([s for s in "abc" if len(there) > 1 or s not in there])
        if slot in there:
            measured.times.append(there.pop(slot).end(signal.SIGTERM))
        else:
            there[slot] = app.start(slot)
        measured.done += 1
    return measured


def cut_over_and_over(app: App, proxy: Proxy, times: int, seconds: float) -> Measured:
    """Cut the only replica off from the broker, closed and silent in turn; see it catch up."""
    measured = Measured()
    app.start()
    for number in range(times):
        until_caught_up(app)
        proxy.wire = Wire.SILENT if number % 2 else Wire.CUT
        time.sleep(seconds)
        proxy.wire = Wire.WHOLE
        measured.times.append(until_caught_up(app))
        measured.done += 1
    return measured


def break_broker(kafka: ApacheKafka, apps: list[App], seed: int, times: int) -> Measured:
    """Kill the broker and start it again, while replicas live on; return when lag was 0 again."""
    rng = random.Random(seed)
    measured = Measured()
    for _ in range(times):
        time.sleep(rng.uniform(0.5, 2.0))
        kafka.kill()
        time.sleep(rng.uniform(0.0, 2.0))
        kafka.restart()
        began = time.monotonic()
        for app in apps:
            # Longer than it may last: what was counted is judged in any case, and the time after.
            until_caught_up(app, 180.0)
        measured.times.append(time.monotonic() - began)
        measured.done += 1
    return measured


def until_caught_up(app: App, timeout: float = 60.0, near: int = 2_000) -> float:
    """Wait until a replica commits again and has read nearly all there is; return how long (s).

    The stream goes on meanwhile: less than a second of it counts as caught up.
    """
    before = app.consumed()

    def caught_up() -> bool:
        app.look()
        active = [replica for replica in app.replicas if replica.active]
        return bool(active) and app.consumed() > before and active[0].lag < near

    try:
        return wait_for(f"{app.name} catches up", caught_up, timeout, 0.3)
    except AssertionError as late:
        raise AssertionError(f"{late}: {_whereabouts(app)}") from late


def _whereabouts(app: App) -> str:
    """Return how far an app is, for the message of a failure; its log tells where it stands."""
    told = [f"{app.consumed()} counted in the state, group at {sum(app.committed().values())}"]
    for replica in app.replicas:
        consumed = replica.value("streamgauge_messages_consumed_total")
        ready = replica.answer("/-/ready").decode().strip()
        told.append(f"{replica.slot}: {ready}, {consumed:.0f} consumed, lag {replica.lag}")
        replica.send(signal.SIGUSR1)
    return "; ".join(told)


def until_active(app: App, replica: Replica) -> float:
    """Wait until a replica works, and return how long that took (s)."""

    def active() -> bool:
        app.look()
        return replica.active

    return wait_for("the replica works", active, 90.0)


def until_standing_by(app: App, replica: Replica) -> float:
    """Wait until a replica stands by, and return how long that took (s)."""

    def standing_by() -> bool:
        app.look()
        return replica.standing_by

    return wait_for("the replica stands by", standing_by, 60.0)
