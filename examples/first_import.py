"""The two files of `alpha/`, from a folder to an import: `python examples/first_import.py`.

Everything happens in a temporary folder. On a machine of yours the three steps are three commands:

    magic-module publish examples/alpha site
    magic-module serve site
    MAGIC_MODULE_MANIFEST_URL=http://127.0.0.1:8765/manifest.json python -c "import magic_module.alpha"
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parent / "alpha"
MAGIC_MODULE = [sys.executable, "-m", "magic_module"]

SHOW = """
import magic_module.alpha as alpha
for row in alpha.rows():
    print(f"{row['planet']:8} {row['moons']:>4}")
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder, "site")
        subprocess.run([*MAGIC_MODULE, "publish", str(SOURCE), str(site)], check=True)
        with subprocess.Popen(
            [*MAGIC_MODULE, "serve", str(site), "--port", "0"], stdout=subprocess.PIPE, text=True
        ) as server:
            try:
                assert server.stdout is not None
                server.stdout.readline()
                manifest_url = server.stdout.readline().strip().partition("=")[2]
                environment = {
                    **os.environ,
                    "MAGIC_MODULE_MANIFEST_URL": manifest_url,
                    "MAGIC_MODULE_CACHE_DIR": str(Path(folder, "cache")),
                }
                print("\nfirst import: downloads", flush=True)
                subprocess.run([sys.executable, "-c", SHOW], env=environment, check=True)
            finally:
                server.terminate()
        print("\nsecond import: the server is gone", flush=True)
        subprocess.run([sys.executable, "-c", SHOW], env=environment, check=True)


if __name__ == "__main__":
    main()
