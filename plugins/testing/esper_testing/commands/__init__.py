"""The commands of this distribution, one file each."""
