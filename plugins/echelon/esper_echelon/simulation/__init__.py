"""What happens in a match: mechs, weapons, smoke, the zone and the ground, all matches at once."""
