"""Learning: the rollout buffer, advantages, collection, return normalisation and the trainer."""
