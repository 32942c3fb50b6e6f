"""Spilling: what is seldom read lives on the local disk, as long as the process does."""
