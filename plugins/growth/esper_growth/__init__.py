"""The growth environment: hosts that train on real tasks while seeds grow in their slots."""
