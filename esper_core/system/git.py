"""The git commit that a folder is at, read so that nothing which a repository names is ever run.

A repository's configuration can name programs: to watch files, to filter them, to fetch what is missing. Here all of
these are switched off.
"""

from __future__ import annotations

import os
import subprocess
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_TIMEOUT_SECONDS = 10
_ALONE = (
    *("--no-pager", "--no-optional-locks", "-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}", "-c", f"core.attributesFile={os.devnull}"),
)
_VARIABLES = {"GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
_FILTERS = r"^filter\..*\.(clean|process|required|smudge)$"
_NO_COMMIT = ("not a git repository", "Needed a single revision")
"""What git says outside of a repository, and in one without a commit."""


def git_commit(folder: Path) -> dict[str, Any] | None:
    """Return the `commit` a folder is at, None outside of git, and whether files that git knows were `changed`.

    A file is compared where its size or time is not what git noted; one that a filter changes counts as changed then.
    Where git cannot tell, this returns None and says why in a warning, once.
    """
    try:
        commit = _git(folder, ["rev-parse", "--verify", "HEAD"]).strip()
        filters = _git(folder, ["config", "--null", "--name-only", "--get-regexp", _FILTERS], may_fail=True)
        status = ["status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all", "--no-renames"]
        return {"commit": commit, "changed": bool(_git(folder, status, filters.split("\0")[:-1]))}
    except (OSError, subprocess.SubprocessError) as error:
        said = os.fsdecode(getattr(error, "stderr", None) or b"").strip()
        if isinstance(error, FileNotFoundError) or any(words in said for words in _NO_COMMIT):
            return {"commit": None, "changed": False}
        why = said.splitlines()[-1] if said else f"it took longer than {_TIMEOUT_SECONDS} seconds"
        warnings.warn(f"The git commit of {folder} is not recorded: {why}", stacklevel=2)
        return None


def _git(folder: Path, arguments: Iterable[str], filters: Iterable[str] = (), may_fail: bool = False) -> str:
    """Return what git prints, with some keys of filters set to nothing."""
    # A variable may point git to another repository; where it may look for one is the user's to say.
    kept = {n: v for n, v in os.environ.items() if not n.startswith("GIT_") or n == "GIT_CEILING_DIRECTORIES"}
    keys = list(dict.fromkeys(filters))
    off = {"GIT_CONFIG_COUNT": str(len(keys))}
    for number, key in enumerate(keys):
        off |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": "0" if key.endswith("required") else ""}
    done = subprocess.run(
        ["git", "-C", str(folder), *_ALONE, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_TIMEOUT_SECONDS,
        check=not may_fail,
        env={**kept, **_VARIABLES, **off},
    )
    return os.fsdecode(done.stdout)
