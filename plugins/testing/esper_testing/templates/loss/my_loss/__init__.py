"""A loss for esper: PPO."""
