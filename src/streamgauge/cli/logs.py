"""Logs: text for people on a terminal, JSON lines elsewhere."""

import logging
import sys
from datetime import UTC, datetime

import orjson
from rich.console import Console
from rich.logging import RichHandler

from streamgauge.config.parts import LogConfig, LogFormat


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def set_up_logs(config: LogConfig) -> None:
    """Send the process's log to standard error."""
    text = config.format is LogFormat.TEXT or (
        config.format is LogFormat.AUTO and sys.stderr.isatty()
    )
    handler: logging.Handler
    if text:
        handler = RichHandler(
            console=Console(stderr=True), show_path=False, markup=False, highlighter=None
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=config.level.value.upper(), handlers=[handler], force=True)
    # The server's own start and stop are told by us, in our words.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
