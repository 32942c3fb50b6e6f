"""Performance without labels: what the reference says current scores and predictions cost."""
