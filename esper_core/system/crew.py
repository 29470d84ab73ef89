"""Child processes that work together: each has a share of the rows, or takes one task after another."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from multiprocessing.connection import wait
from typing import Any

from esper_core.contracts.errors import EsperError
from esper_core.system.processes import Answer, Child, Purpose, end_children, start_children

Rows = Sequence[int]
Part = Callable[[int, list[int]], tuple[Any, ...]]
"""From the number of a child, and positions among the rows asked for, to the arguments that it gets."""


def equal_shares(rows: int, children: int) -> list[range]:
    """Share rows out in their order, as equally as they can be; there are no more shares than rows."""
    children = min(children, rows)
    edges = [rows * number // children for number in range(children + 1)]
    return [range(first, end) for first, end in pairwise(edges)]


def may_have_children() -> bool:
    """Return whether this process may start others; those of other libraries' vectorised environments may not."""
    return not multiprocessing.current_process().daemon


def methods_of(make: Callable[..., Any], *arguments: Any) -> Answer:
    """Make an object; requests `(method, *arguments)` are calls of its methods, and `()` asks for nothing."""
    made = make(*arguments)
    return lambda request: getattr(made, request[0])(*request[1:]) if request else None


class Crew:
    """Children that are asked together: all have answered before the first error of one is raised.

    Each computes with one thread. An error of a child that is gone says which it was.

    Args:
        purpose: What they are for.
        begins: What makes the answers of each; it is called in the child, before its first request, and must survive
            pickling where processes are not forked.
        shares: The rows of each, where they have some: every row once. They may be replaced between requests.
    """

    def __init__(self, purpose: Purpose, begins: Sequence[Callable[[], Answer]], shares: Sequence[Rows] = ()) -> None:
        self._purpose, self.shares = purpose, shares
        self._children = start_children(purpose, [partial(_with_one_thread, begin) for begin in begins])

    def __len__(self) -> int:
        return len(self._children)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> Crew:
        """Let `methods_of` make its object in every child now; ends all of them where one fails. Returns itself."""
        try:
            self.ask(dict.fromkeys(range(len(self)), ()))
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End the children, whatever they are doing."""
        end_children(self._children)
        self._children = []

    # Rows -----------------------------------------------------------------------------------------------------------

    def ask(self, requests: Mapping[int, Any]) -> list[Any]:
        """Ask children, by number, and return their answers in this order.

        Raises:
            EsperError: a child is gone, or what was raised in the first that failed.
        """
        asked, answers, errors = list[int](), list[Any](), list[EsperError]()
        for number, request in requests.items():
            try:
                self._children[number].ask(request)
                asked.append(number)
            except EsperError as error:
                errors.append(self._named(number, error))
        for number in asked:
            try:
                answers.append(self._children[number].answer())
            except EsperError as error:
                errors.append(error if self._children[number].process.is_alive() else self._named(number, error))
        if errors:
            raise errors[0]
        return answers

    def everyone(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method in every child; return what they answered."""
        return self.ask(dict.fromkeys(range(len(self)), (method, *arguments)))

    def first(self, method: str, *arguments: Any) -> Any:
        """Call a method in the child that has the first rows."""
        return self.ask({0: (method, *arguments)})[0]

    def at(self, row: int, method: str, *arguments: Any) -> Any:
        """Call a method for one row, which the child that has it knows by its place there."""
        (number,) = (number for number, share in enumerate(self.shares) if row in share)
        return self.ask({number: (method, self.shares[number].index(row), *arguments)})[0]

    def each(self, method: str, rows: Rows, part: Part) -> tuple[list[Any], list[list[int]]]:
        """Call a method in the children that have some of these rows; return answers, and which rows each is about.

        These are positions in `rows`. `part` says with which arguments the method is called.
        """
        there = {number: found for number, found in enumerate(self.places(rows)) if found}
        answers = self.ask({number: (method, *part(number, found)) for number, found in there.items()})
        return answers, list(there.values())

    def places(self, rows: Rows) -> list[list[int]]:
        """Return for each child where in `rows` those are that it has."""
        found: list[list[int]] = [[] for _ in self.shares]
        owner = {row: number for number, share in enumerate(self.shares) for row in share}
        for position, row in enumerate(rows):
            found[owner[row]].append(position)
        return found

    def local(self, number: int, rows: Rows) -> list[int]:
        """Return places in the share of a child of rows that it has."""
        share = self.shares[number]
        if isinstance(share, range):
            return [row - share.start for row in rows]
        return [share.index(row) for row in rows]

    def _named(self, number: int, error: EsperError) -> EsperError:
        """Return the error of a child that is gone, with which it was."""
        if not self.shares:
            return error
        share = self.shares[number]
        which = f"{share[0]} to {share[-1]}" if isinstance(share, range) else ", ".join(map(str, share))
        who = f"Worker {number} of {len(self)}, with the {self._purpose.rows} {which}"
        named = EsperError(f"{who}: {error.message}", hint=error.hint)
        named.__cause__ = error.__cause__
        return named

    # Tasks ----------------------------------------------------------------------------------------------------------

    def work(
        self, following: Callable[[], Any], more: Callable[[Any], Any] = lambda answer: None
    ) -> Iterator[tuple[Any, Any]]:
        """Yield tasks with their answers, as they arrive; each child has one task at a time.

        Args:
            following: Returns the next task, or None while there is none.
            more: From an answer to the request for the rest of it, which the same child gets; None where it was all.

        Raises:
            EsperError: a child is gone, or what was raised there.
        """
        busy: dict[Any, tuple[Child, Any]] = {}
        for child in self._children:
            if (task := following()) is None:
                break
            child.ask(task)
            busy[child.connection] = child, task
        while busy:
            for connection in wait(list(busy)):
                child, task = busy.pop(connection)
                answer = child.answer()
                yield task, answer
                if (rest := more(answer)) is None:
                    rest = task = following()
                if task is not None:
                    child.ask(rest)
                    busy[connection] = child, task


def row_order(places: Sequence[Sequence[int]]) -> list[int]:
    """Return where each row is among rows that were joined share by share."""
    joined = [place for share in places for place in share]
    order = [0] * len(joined)
    for at, place in enumerate(joined):
        order[place] = at
    return order


def _with_one_thread(begin: Callable[[], Answer]) -> Answer:
    import torch

    torch.set_num_threads(1)
    return begin()
