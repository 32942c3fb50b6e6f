"""Data sets that benchmarks use: README.md says where they come from."""
