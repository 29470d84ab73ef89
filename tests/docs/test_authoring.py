"""docs/authoring.md is true: its files are written and its commands typed, in order, in an environment of their own."""

from __future__ import annotations

import os
import pathlib
import re
import site
import subprocess
import sysconfig
import venv

import pytest
from attrs import frozen

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "authoring.md").read_text(encoding="utf-8")
BLOCK = re.compile(r'^```(\w+)(?: title="(\S+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@frozen
class Shell:
    """Runs lines in a folder."""

    folder: pathlib.Path
    variables: dict[str, str]

    def __call__(self, line: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-c", f"{{ {line}; }} 2>&1"]
        return subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=False, cwd=self.folder, env=self.variables
        )


@pytest.fixture
def shell(tmp_path: pathlib.Path) -> Shell:
    """Return a shell with an environment of its own, without any network.

    The environment sees everything that is installed here; what is installed into it is gone after the test.
    """
    folder, home = tmp_path / "work", tmp_path / "env"
    folder.mkdir()
    venv.create(home, with_pip=False)
    packages = pathlib.Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    here = sorted({sysconfig.get_path("purelib"), *filter(os.path.isdir, site.getsitepackages())})
    (packages / "here.pth").write_text("\n".join(f"import site; site.addsitedir({path!r})" for path in here))
    python = home / "bin" / "python"
    offline = '[ "$1" = install ] && set -- "$@" --no-build-isolation --no-deps --no-index'
    for name, code in (
        ("pip", f'{offline}\nexec {python} -m pip "$@" -qq --disable-pip-version-check'),
        ("esper", f'exec {python} -m esper_core.cli.app "$@"'),
    ):
        (home / "bin" / name).write_text(f"#!/bin/sh\n{code}\n")
        (home / "bin" / name).chmod(0o755)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ESPER_", "PYTEST_"))}
    path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return Shell(folder, {**kept, "PATH": path, "ESPER_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"})


def follow(shell: Shell, language: str, title: str, text: str) -> None:
    """Do what one block of the page says."""
    if title:
        path = shell.folder / title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    assert language == "console", f"a block of {language} says neither what file it is nor what to type"
    for typed in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = typed.partition("\n")
        done = shell(command)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        pattern = ".*".join(re.escape(part) for part in re.split("…", expected.strip()))
        shown = "\n".join(line.rstrip() for line in done.stdout.splitlines())
        wanted = re.sub(r"(\\ )+\\\n", "\\\n", pattern)
        assert re.search(wanted, shown, re.DOTALL), f"$ {command}\n{done.stdout}\nis not\n{expected}"


@pytest.mark.slow
def test_the_tutorials_do_what_they_say(shell: Shell) -> None:
    blocks = BLOCK.findall(PAGE)
    assert len(blocks) > 10
    for language, title, text in blocks:
        follow(shell, language, title, text)


def test_no_block_is_left_out() -> None:
    assert PAGE.count("```") == 2 * len(BLOCK.findall(PAGE))
