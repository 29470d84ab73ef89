"""Components unlike those that come with esper, and right all the same: no check may ask for more than it has to."""
