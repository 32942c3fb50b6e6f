"""Streamgauge: a streaming monitor for machine-learning models that talk over Kafka."""

__all__ = ["__version__"]

__version__ = "0.1.0"
