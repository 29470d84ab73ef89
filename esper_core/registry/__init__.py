"""Finding components and choosing among them. Nothing here imports torch before a plan is built."""
