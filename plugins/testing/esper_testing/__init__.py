"""Helpers for tests of components, the core's own and those of plugin authors. Importing the package loads no torch."""
