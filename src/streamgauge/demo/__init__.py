"""What the demo needs that the monitor does not: the data set that it replays."""
