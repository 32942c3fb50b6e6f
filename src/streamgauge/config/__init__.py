"""Configuration: one YAML file, checked to the last field before anything is joined."""

from streamgauge.config.budget import Budget
from streamgauge.config.durations import format_duration, parse_duration, window_step
from streamgauge.config.loader import config_error, load
from streamgauge.config.model import Learn, ModelConfig, slice_specs
from streamgauge.config.root import Config

__all__ = [
    "Budget",
    "Config",
    "Learn",
    "ModelConfig",
    "config_error",
    "format_duration",
    "load",
    "parse_duration",
    "slice_specs",
    "window_step",
]
