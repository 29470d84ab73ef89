"""Between esper and the machine: files, JSON, processes, memory, packages and git."""
