"""The lines of Python in the README run as written."""

import re
import subprocess
import sys

from conftest import REPOSITORY


def test_the_readme_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.S)
    assert blocks
    (tmp_path / "readme.py").write_text("".join(blocks))
    subprocess.run([sys.executable, "readme.py"], cwd=tmp_path, check=True, timeout=300)


def test_the_docstring_of_the_package_runs():
    import doctest

    import subband

    assert doctest.testmod(subband).failed == 0
