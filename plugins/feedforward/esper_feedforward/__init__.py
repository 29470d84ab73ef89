"""Policy networks without memory: `mlp`, and `nature-cnn` for images."""
