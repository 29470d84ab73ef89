"""Writing a new plugin: `esper plugins new` copies a working one under another name."""
