"""The CPU engine: hosts trained in compiled code, a chunk of samples through the whole network at a time."""
