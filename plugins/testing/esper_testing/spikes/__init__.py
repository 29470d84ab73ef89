"""Spikes: experiments that answer one question about an architecture with a verdict."""
