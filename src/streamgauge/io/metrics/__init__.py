"""Metrics: the catalogue of what is published, and its text for Prometheus to scrape."""
