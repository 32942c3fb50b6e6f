"""Workers: events counted by several processes, and analysed by one."""
