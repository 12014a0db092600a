"""The stubs of the native module are what it has, and what the README does is right by the types."""

import re
import subprocess
import sys

import pytest

from conftest import REPOSITORY

pytest.importorskip("mypy", reason="needs mypy")


def test_the_stubs_are_what_the_native_module_has():
    done = subprocess.run([sys.executable, "-m", "mypy.stubtest", "subband._native"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_readme_is_right_by_the_types(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.S)
    wrong = "subband.compress(maps, steps=0.1)\nsubband.inspect(stream).bits\n"
    for name, code, found in (("right", "".join(blocks), 0), ("wrong", "".join(blocks) + wrong, 2)):
        (tmp_path / f"{name}.py").write_text(code)
        # A line has three calls, of which one returns nothing, as a tuple.
        command = [sys.executable, "-m", "mypy", "--disable-error-code", "func-returns-value", f"{name}.py"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout.count(": error:") == found, done.stdout
