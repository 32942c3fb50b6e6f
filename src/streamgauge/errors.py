"""What Streamgauge raises when the cause lies outside its own code."""


class StreamgaugeError(Exception):
    """A failure with a known cause: the text says what happened, where, and what to do about it.

    `exit_code` is the status with which a command ends when the error reaches it.
    """

    exit_code: int = 1


class ConfigError(StreamgaugeError):
    """The configuration is wrong; nothing was joined or written."""

    exit_code = 78


class UsageError(StreamgaugeError):
    """A command was called in a way that cannot be meant."""

    exit_code = 2


class DataError(StreamgaugeError):
    """Data that was given (a table of events) cannot be used."""


class ReferenceFileError(ConfigError):
    """A reference file cannot be used; like the configuration, it is read before anything else."""


class StateError(StreamgaugeError):
    """Kept state does not fit: it is of another configuration, or damaged.

    `key` names the part, `what` says what is wrong with it.
    """

    def __init__(self, key: str, what: str) -> None:
        self.key = key
        self.what = what
        super().__init__(
            f"state {key}: {what}; it is damaged or of another configuration: bring that back, or "
            "start with --discard-state to begin anew from the committed offsets"
        )

    def below(self, prefix: str) -> "StateError":
        """Return the error with `prefix/` before its key."""
        return StateError(f"{prefix}/{self.key}", self.what)
