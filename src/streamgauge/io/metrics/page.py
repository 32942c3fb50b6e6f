"""Page: the metrics as the next scrape will find them, made before it comes.

To write and compress 50,000 series takes a tenth of a second beside a loop at full speed, which is
too long for a scrape to wait, and too much to do for nobody. So the page is made

- when it is scraped for the first time, or again after a long while, for that scrape;
- from then on with each new snapshot, in a thread beside the loop and in the forms that are asked
  for; scrapes are served from the page before until it is ready.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from streamgauge.core.snapshot import Snapshot
from streamgauge.io.metrics.exposition import Form, Rendered, Renderer

KEPT_READY_S: Final = 150.0
"""A form is made ahead for this long after it was last asked for: two scrapes a minute apart and
one that failed."""
SHARE: Final = 0.01
"""Share of the time in which pages may be written, which keeps the loop from its work."""
LONGEST_REST_S: Final = 10.0
"""The next page is begun no later than this after the one before, whatever its share."""


class MetricsPage:
    """Holds the latest snapshot and its rendering; whole objects are swapped in.

    The loop's thread offers snapshots, the server's threads take pages. `monotonic` tells the time
    in seconds.
    """

    def __init__(self, renderer: Renderer, monotonic: Callable[[], float]) -> None:
        self._renderer = renderer
        self._monotonic = monotonic
        self._snapshot: Snapshot | None = None
        self._rendered: Rendered | None = None
        self._shown: Snapshot | None = None
        """The snapshot that the rendering is of."""
        self._lapsed = False
        """The page is of a snapshot that came before nobody asked any more."""
        self._asked: dict[Form, float] = {}
        self._writing = threading.Lock()
        self._news = threading.Event()
        self._worker: threading.Thread | None = None
        self._trouble: Exception | None = None

    def latest(self) -> Rendered | None:
        """Return the latest page, None before the first."""
        return self._rendered

    def offer(self, snapshot: Snapshot) -> None:
        """Take a new snapshot; its page is made beside the caller if anybody wants it.

        Raises what went wrong with an earlier page.
        """
        if self._trouble is not None:
            raise self._trouble
        self._snapshot = snapshot
        if not self._wanted():
            self._lapsed = True
            return
        if self._worker is None:
            self._worker = threading.Thread(target=self._keep_ready, name="metrics", daemon=True)
            self._worker.start()
        self._news.set()

    def ready(self, form: Form) -> Rendered | None:
        """Note that a form is asked for, and return the page if it is ready in it; never waits."""
        self._asked[form] = self._monotonic()
        rendered = self._rendered
        if rendered is None or self._lapsed or not rendered.is_ready(form):
            return None
        return rendered

    def make(self, form: Form) -> Rendered | None:
        """Return the latest snapshot's page, made ready in a form; None before the first snapshot.

        Takes a while; who asks for what is being made waits for it and gets the same.
        """
        self._asked[form] = self._monotonic()
        with self._writing:
            snapshot = self._snapshot
            self._show(snapshot, self._written(snapshot), [form])
            return self._rendered

    def make_ahead(self) -> float:
        """Make the latest snapshot's page in the forms that are asked for, and only then show it.

        Return the seconds that writing it took: what is compressed meanwhile holds up nobody.
        """
        with self._writing:
            began, snapshot = self._monotonic(), self._snapshot
            rendered = self._written(snapshot)
            took = self._monotonic() - began
            self._show(snapshot, rendered, self._wanted())
        return took

    def clear(self) -> None:
        """Forget the snapshot and its page; one that is being made is waited for."""
        with self._writing:
            self._snapshot = self._shown = self._rendered = None

    def _written(self, snapshot: Snapshot | None) -> Rendered | None:
        """Return a snapshot's rendering, the one there is where it is of the same."""
        if snapshot is None or snapshot is self._shown:
            return self._rendered
        return self._renderer.render(snapshot)

    def _show(
        self, snapshot: Snapshot | None, rendered: Rendered | None, forms: list[Form]
    ) -> None:
        if rendered is not None:
            for form in forms:
                rendered.make_ready(form)
            self._rendered, self._shown, self._lapsed = rendered, snapshot, False

    def _wanted(self) -> list[Form]:
        since = self._monotonic() - KEPT_READY_S
        return [form for form, last in [*self._asked.items()] if last >= since]

    def _keep_ready(self) -> None:
        try:
            while self._news.wait():
                self._news.clear()
                took = self.make_ahead()
                time.sleep(min(took / SHARE, LONGEST_REST_S))
        except Exception as error:  # noqa: BLE001 - the loop raises it with the next snapshot
            self._trouble = error
