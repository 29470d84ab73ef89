"""Reading runs after the fact: one HTML page about a run, and several runs side by side. Torch is not imported."""
