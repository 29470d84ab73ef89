"""The plugin that core brings itself: its kinds and the plain feature extractor."""
