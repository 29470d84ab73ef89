"""What a plugin registers to bring a command of its own: a light, frozen description that imports nothing."""

from __future__ import annotations

from attrs import field, frozen

from esper_core.contracts.components import OPTIONAL, matching

_WORD = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
_WORDS = matching(f"{_WORD}( {_WORD})?", "be one or two kebab-case words, such as 'runs compare'")


@frozen(kw_only=True)
class CommandSpec:
    """A command of `esper` as its plugin describes it.

    Attributes:
        name: What is typed after `esper`: one word, or a group and a word, such as `runs compare`. The group may be
            another plugin's, or nobody's.
        app: `module:attribute` of a function that typer makes a command of, or of a `typer.Typer` that is a group,
            imported only when it is used. Empty for a group whose commands are described one by one.
        summary: One line for `esper --help`.
    """

    name: str = field(validator=_WORDS)
    app: str = field(default="", validator=OPTIONAL)
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
