"""What runs in children is measured, too: a `.pth` begins it."""

import pathlib
import subprocess
import sys

pathlib.Path("inner.py").write_text("def once():\n    return 1\n\n\ndef never():\n    return 2\n\n\nprint(once())\n")
outer = "import subprocess, sys\nsubprocess.run([sys.executable, 'inner.py'], check=True)\n"
pathlib.Path("outer.py").write_text(outer)
pathlib.Path(".coveragerc").write_text("[run]\nparallel = True\nsource = .\npatch = subprocess\n")
for words in (["run", "outer.py"], ["combine", "--quiet"], ["report", "--show-missing"]):
    done = subprocess.run([sys.executable, "-m", "coverage", *words], capture_output=True, text=True, check=False)
    print(done.returncode, done.stdout, done.stderr)
