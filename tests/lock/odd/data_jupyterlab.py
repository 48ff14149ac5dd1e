"""jupyterlab looks for extensions below the prefix."""

import re
import subprocess
import sys

for words in (["labextension", "list"], ["kernelspec", "list"], ["--paths"]):
    done = subprocess.run(["jupyter", *words], capture_output=True, text=True, check=False)
    said = re.sub(r"(?m)^\[?[A-Z] \d{4}-\d\d-\d\d .*\n", "", done.stdout + done.stderr)
    print(done.returncode, said.replace(sys.prefix, "PREFIX").replace(sys.base_prefix, "BASE"))
