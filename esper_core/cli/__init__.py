"""The command line, one file per command. Importing it imports no torch."""
