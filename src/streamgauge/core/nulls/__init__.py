"""Null laws: how distances are distributed when nothing has changed."""
