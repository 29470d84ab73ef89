"""What is installed, what a name means, and why: answers for people."""
