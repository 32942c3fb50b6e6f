"""Writer: alerts and dead letters, each on its way before offsets are committed."""

from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamgauge.config.librdkafka import Setting
from streamgauge.io.kafka.errors import BrokerError, failure

FLUSH_S = 30.0

Headers = list[tuple[str, str | bytes | None]]


class Writer:
    """Writes messages and, on `flush`, makes sure that every one of them has arrived."""

    def __init__(self, settings: Mapping[str, Setting], client_id: str) -> None:
        self._failed: KafkaError | None = None
        self._producer = Producer(
            {
                **settings,
                "client.id": client_id,
                "enable.idempotence": True,
                "compression.type": "none",
                "linger.ms": 5,
            }
        )

    def write(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Queue a message; waits where the queue is full."""
        while True:
            try:
                self._producer.produce(
                    topic, value=value, key=key, headers=headers, on_delivery=self._delivered
                )
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise failure(f"writing to {topic}", error) from error
            else:
                break
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until everything has arrived. Raises BrokerError if anything has not."""
        left = self._producer.flush(FLUSH_S)
        if self._failed is not None:
            raise failure("writing results", self._failed)
        if left:
            raise BrokerError(
                f"kafka: {left} results have not arrived after {FLUSH_S:.0f} s; is the broker up?"
            )

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failed = error
