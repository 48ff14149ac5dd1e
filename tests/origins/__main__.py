"""``python -m origins FAULT DIRECTORY``: serve a folder with one fault until Ctrl-C."""

import argparse
import threading
from pathlib import Path

from origins import Origin, faults


def main() -> None:
    """Serve a folder with one fault."""
    parser = argparse.ArgumentParser(prog="origins", description=__doc__)
    parser.add_argument("fault", choices=sorted(faults.ALL), help="what goes wrong")
    parser.add_argument("directory", type=Path, help="the folder to serve")
    parser.add_argument("--path", default="*", help="which paths it concerns, as a glob (default: all)")
    arguments = parser.parse_args()
    with Origin(arguments.directory, {arguments.path: faults.ALL[arguments.fault]}) as origin:
        print(f"{arguments.fault} at {origin.url}/", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
