"""The cells of the tutorial run, one after the other."""

import json

import pytest

from conftest import REPOSITORY


def test_the_tutorial_runs(monkeypatch):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    notebook = json.loads((REPOSITORY / "docs" / "tutorial.ipynb").read_text())
    namespace: dict = {}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 6
    for number, cell in enumerate(cells):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), namespace)
