"""Taking a grown network out: its weights, and a Python module that needs torch alone to load them."""
