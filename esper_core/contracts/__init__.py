"""Ground floor: the words that plugins and core share. Nothing here imports torch."""
