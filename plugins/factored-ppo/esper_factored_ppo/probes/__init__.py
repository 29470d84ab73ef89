"""Environments whose right answer is known in closed form, and the spike `ppo-probes` that learns each of them."""
