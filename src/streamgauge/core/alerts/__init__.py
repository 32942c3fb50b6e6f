"""Alerts: from findings to few, stable, well-worded alerts with a life cycle."""
