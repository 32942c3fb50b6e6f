"""The runner: poll, decode, aggregate, analyse, commit."""
