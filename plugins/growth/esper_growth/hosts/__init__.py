"""Hosts: small networks with room to grow."""
