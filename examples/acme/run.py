"""A library author's day: `python examples/acme/run.py`.

`acme/` is the package that users install, `units/` is what they download when they import it. This script publishes
the units, serves them, and uses both as a user would; everything happens in a temporary folder.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
MAGIC_MODULE = [sys.executable, "-m", "magic_module"]

USE = """
import acme.text
print("shipped with the wheel:", acme.text.words("Small, but here."))
import acme.heavy
print("downloaded:", acme.heavy.language("Dieses Modul kommt aus dem Netz!"), "version", acme.heavy.__version__)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder, "site")
        subprocess.run([*MAGIC_MODULE, "publish", str(HERE / "units"), str(site), "--namespace", "acme"], check=True)
        with subprocess.Popen(
            [*MAGIC_MODULE, "serve", str(site), "--port", "0"], stdout=subprocess.PIPE, text=True
        ) as server:
            try:
                assert server.stdout is not None
                server.stdout.readline()
                environment = {
                    **os.environ,
                    "ACME_MANIFEST_URL": server.stdout.readline().strip().partition("=")[2],
                    "MAGIC_MODULE_CACHE_DIR": str(Path(folder, "cache")),
                    # In the place of an installed wheel.
                    "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])),
                }
                print(flush=True)
                subprocess.run([sys.executable, "-c", USE], env=environment, check=True)
                # The command line finds the mount through the installed package.
                print(flush=True)
                subprocess.run([*MAGIC_MODULE, "list", "--namespace", "acme"], env=environment, check=True)
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
