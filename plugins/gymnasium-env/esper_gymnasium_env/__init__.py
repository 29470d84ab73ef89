"""Adapter from Gymnasium environments to environments of esper."""
