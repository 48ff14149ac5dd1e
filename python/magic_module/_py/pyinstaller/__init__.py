"""What PyInstaller is told of us: it sees no import that our extension module makes.

The entry point `pyinstaller40` of our distribution names the function below, which nothing else calls.
"""

import os


def hook_folders() -> list[str]:
    """Where the hook lies."""
    return [os.path.dirname(__file__)]
