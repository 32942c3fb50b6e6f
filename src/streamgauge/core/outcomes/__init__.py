"""Outcomes: statistics of events whose label is known, per slice, for figures, detectors, causes.

They are counted in blocks like all else, one row per slice, by `OutcomeLayout`.
"""
