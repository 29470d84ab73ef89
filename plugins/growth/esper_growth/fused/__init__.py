"""Hosts trained together: the channels of n hosts lie side by side in one network."""
