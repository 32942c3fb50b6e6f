"""Faults on Apache Kafka under a steady stream; a recount of the ledger judges what is published.

Several apps watch the same stream at once, each with faults of its own; one more without any reads
it afterwards, and all must have come to the same.
"""

import json
import threading
from collections.abc import Callable

from tests.support.apache_kafka import ApacheKafka
from tests.support.chaos_checker import check
from tests.support.chaos_driver import (
    Measured,
    break_broker,
    cut_over_and_over,
    freeze_over_and_over,
    kill_over_and_over,
    rebalance_over_and_over,
    until_caught_up,
)
from tests.support.chaos_forms import LONG, Form
from tests.support.chaos_proxy import Proxy
from tests.support.chaos_stage import App, Stage

SEED = 20_260_101


class Acts:
    """Threads that do harm at the same time; when one fails, the others go on."""

    def __init__(self) -> None:
        self.measured: dict[str, Measured] = {}
        self.failed: dict[str, str] = {}
        self._threads: list[threading.Thread] = []

    def begin(self, *acts: tuple[str, App, Callable[[], Measured]]) -> None:
        """Do one act after the other in a thread."""

        def run() -> None:
            for name, app, act in acts:
                try:
                    self.measured[name] = act()
                    print(f"{name}: {self.measured[name]}", flush=True)  # noqa: T201
                except BaseException as failed:  # noqa: BLE001 - told in the end
                    self.failed[app.name] = f"{name}: {failed}"
                    app.close()

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def finish(self) -> None:
        """Wait for all."""
        for thread in self._threads:
            thread.join()


def break_broker_for(apps: list[App], kafka: ApacheKafka, times: int) -> Measured:
    """Break the broker while these apps are at work; none of their replicas may start anew."""
    living = [{replica.pid for replica in app.replicas} for app in apps]
    measured = break_broker(kafka, apps, SEED, times)
    assert living == [{r.pid for r in app.replicas} for app in apps], "nobody started anew"
    return measured


def test_nothing_is_lost_and_nothing_is_counted_twice(
    stage: Stage, chaos_kafka: ApacheKafka, proxy: tuple[Proxy, str], form: Form
) -> None:
    stream = stage.stream(seed=SEED, rate=form.rate, least=form.predictions)
    killed = stage.app(stream, name="killed")
    frozen = stage.app(stream, name="frozen")
    rebalanced = stage.app(stream, name="rebalanced")
    cut = stage.app(stream, name="cut", bootstrap=proxy[1])
    apps = [killed, frozen, rebalanced, cut]
    acts = Acts()
    acts.begin(("kill -9", killed, lambda: kill_over_and_over(killed, SEED, form.kills)))
    acts.begin(
        ("SIGSTOP", frozen, lambda: freeze_over_and_over(frozen, SEED, form.freezes)),
        (
            "rebalances",
            rebalanced,
            lambda: rebalance_over_and_over(rebalanced, SEED, form.rebalances_s),
        ),
    )
    acts.begin(("cuts", cut, lambda: cut_over_and_over(cut, proxy[0], form.cuts, form.cut_s)))
    acts.finish()
    apps = [app for app in apps if app.name not in acts.failed]
    for app in apps:
        if not app.replicas:
            app.start()
        # A replica that was killed all the time has read little meanwhile.
        until_caught_up(app, 600.0)
    broken = break_broker_for(apps, chaos_kafka, form.broker_kills)
    print(f"broker kill -9, all apps: {broken}", flush=True)  # noqa: T201
    if form.broker_kills_alone:
        alone, *others = apps
        for app in others:
            app.rest()
        broken = break_broker_for([alone], chaos_kafka, form.broker_kills_alone)
        print(f"broker kill -9, one app: {broken}", flush=True)  # noqa: T201
        for app in others:
            app.start()

    ledger = stream.finish()
    calm = stage.calm(stream, ledger)
    found = {app.name: app.settle(ledger, 600.0) for app in apps}
    for name, evidence in found.items():
        most = max(sample.resident for sample in evidence.samples) / 2**20
        print(f"{name}: {len(evidence.checkpoints)} checkpoints, {most:.0f} MiB at most")  # noqa: T201
    print(f"events: {sum(ledger.ends.values())}; alerts: {len(calm.alerts)}")  # noqa: T201
    wrong = {name: [str(v) for v in check(e, calm)] for name, e in found.items()}
    wrong["calm"] = [str(violation) for violation in check(calm)]
    wrong |= {name: [text] for name, text in acts.failed.items()}
    text = json.dumps({name: lines[:20] for name, lines in wrong.items() if lines}, indent=1)
    assert not any(wrong.values()), f"{stage.folder}\n{text}"
    assert len(calm.alerts) > 10, "alerts were there to be lost"
    if form is LONG:  # the short one runs wherever tests do, and says nothing of time
        assert max(broken.times) < 30.0
        assert max(acts.measured["cuts"].times) < 30.0
