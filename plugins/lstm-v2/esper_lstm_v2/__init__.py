"""Recurrent policy networks: `lstm-v2` and its 128-wide predecessor `lstm-v1`."""
