"""The checks, one test module per category. They need the fixtures of `esper_spike_dynamic_slots.fixtures`."""
