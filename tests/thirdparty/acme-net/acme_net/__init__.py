"""A policy network of somebody else."""
