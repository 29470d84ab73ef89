"""The page about Python and the notebook do what they show."""

from __future__ import annotations

import re
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESPER_CACHE", str(shared / "cache"))
    return tmp_path


@pytest.mark.slow
def test_what_the_pages_show_runs_from_the_first_line_to_the_last(folder):
    names: dict[str, object] = {"__name__": "page"}
    for page in ("README.md", "docs/python.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for number, snippet in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)):
            exec(compile(snippet, f"{page}, snippet {number}", "exec"), names)
    assert len(names["run"].metrics()) == 3 and names["mine"].metrics()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_notebook_runs_and_draws(folder):
    notebook = nbformat.read(ROOT / "examples/quickstart.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "the notebook is kept without outputs"
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type in ("error", "stream")]
    shown = [output.get("data", {}) for output in outputs]
    assert sum("image/png" in data for data in shown) == 2
    assert sum("<progress" in data.get("text/html", "") for data in shown) == 2
    assert notebook.cells[-1].outputs[-1].data["text/plain"] == "6"
