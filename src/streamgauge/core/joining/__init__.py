"""Joining: labels meet the predictions that they are about, however late they come."""
