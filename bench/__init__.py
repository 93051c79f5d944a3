"""Workloads on the local cloud, and what they cost: time, AWS calls, memory, money."""
