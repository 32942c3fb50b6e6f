"""Emit: what a service calls to write prediction and label events, and never waits for.

>>> from streamgauge.emit import Client                                      # doctest: +SKIP
>>> with Client("localhost:9092") as client:                                 # doctest: +SKIP
...     client.prediction(prediction_id="p1", model="flight-delay",
...                       features={"distance": 1400.0}, prediction=1, score=0.83)
...     client.label(prediction_id="p1", model="flight-delay", label=0)
"""

from streamgauge.emit.client import Client
from streamgauge.emit.counts import Stats

__all__ = ["Client", "Stats"]
