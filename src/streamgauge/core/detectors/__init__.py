"""Detectors: what turns closed windows into findings."""
