"""setuptools builds a wheel inside the lock, in this process and in one of its own."""

import contextlib
import io
import pathlib
import subprocess
import sys
import zipfile

pathlib.Path("pyproject.toml").write_text(
    '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    '[project]\nname = "made"\nversion = "1"\n[tool.setuptools]\npackages = ["made"]\n'
)
pathlib.Path("made").mkdir()
pathlib.Path("made/__init__.py").write_text("VALUE = 1\n")
from setuptools import build_meta  # noqa: E402

with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    name = build_meta.build_wheel("dist")
print(name, sorted(zipfile.ZipFile(pathlib.Path("dist", name)).namelist()))
code = "from setuptools import build_meta; build_meta.build_sdist('dist')"
done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
print(done.returncode, sorted(path.name for path in pathlib.Path("dist").iterdir()))
