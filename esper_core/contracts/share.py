"""Which rows of a run are played in one place, where several play a run together."""

from __future__ import annotations

from attrs import frozen


@frozen
class Share:
    """Rows `first` to `first + count` of the `total` ones of a run."""

    first: int
    count: int
    total: int

    @classmethod
    def whole(cls, rows: int) -> Share:
        """Return the share of whoever plays alone."""
        return cls(0, rows, rows)

    @classmethod
    def of(cls, place: int, places: int, total: int, match: int = 1) -> Share:
        """Return the share of one of several places, in whole matches of so many rows, as equal as they can be."""
        matches = total // match
        first, end = (matches * number // places for number in (place, place + 1))
        return cls(first * match, (end - first) * match, total)

    @property
    def is_whole(self) -> bool:
        """Whether that is every row."""
        return self.count == self.total

    @property
    def rows(self) -> slice:
        """Where they are among all rows."""
        return slice(self.first, self.first + self.count)

    def block(self, size: int) -> slice:
        """Return where the blocks of `size` rows are among all that hold some of them; the last may be shorter."""
        return slice(self.first // size * size, min(-(-(self.first + self.count) // size) * size, self.total))
