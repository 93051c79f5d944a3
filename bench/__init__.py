"""Measures workloads on the local cloud: time, AWS calls, memory and cost."""
