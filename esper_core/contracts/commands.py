"""What a plugin registers to bring a command of its own: a light, frozen description that imports nothing."""

from __future__ import annotations

import re

from attrs import Attribute, field, frozen

from esper_core.contracts.components import check_reference

_WORDS = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*( [a-z][a-z0-9]*(-[a-z0-9]+)*)?")


def _check_words(_: object, attribute: Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not _WORDS.fullmatch(value):
        raise ValueError(f"{attribute.name} '{value}' must be one or two kebab-case words, such as 'runs compare'")


@frozen(kw_only=True)
class CommandSpec:
    """A command of `esper` as its plugin describes it.

    Attributes:
        name: What is typed after `esper`: a word of its own, or a group and a word, such as `runs compare`. The group
            may be another plugin's, or nobody's.
        app: `module:attribute` of a function that typer makes a command of, or of a `typer.Typer` that is a group. The
            module is imported only when the command is run, or its own help asked for. Empty for a group whose commands
            are described one by one.
        summary: One line for `esper --help`.
    """

    name: str = field(validator=_check_words)
    app: str = field(default="", validator=check_reference)
    summary: str = ""

    def __attrs_post_init__(self) -> None:
        if self.group and not self.app:
            raise ValueError(f"the command '{self.name}' names no app; only a group of its own does without")

    @property
    def group(self) -> str:
        """The group that it belongs to; empty for a command that stands by itself."""
        return self.name.rpartition(" ")[0]

    @property
    def word(self) -> str:
        """Its own word, the last one."""
        return self.name.rpartition(" ")[2]
