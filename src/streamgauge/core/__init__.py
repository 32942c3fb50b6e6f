"""The pure heart: columnar batches in, additive partials, windows, findings and alerts out."""
