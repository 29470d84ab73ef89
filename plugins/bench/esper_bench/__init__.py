"""Measuring speed: what every workload of `esper bench` shares."""
