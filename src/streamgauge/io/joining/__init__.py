"""Joining on disk: where predictions wait for labels that come days later."""
