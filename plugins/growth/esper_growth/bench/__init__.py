"""Workloads: what `esper bench` measures of hosts that grow."""
