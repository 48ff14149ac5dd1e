"""What PyInstaller has to be told of this package: it does not see what our extension module imports.

The entry point `pyinstaller40` of our distribution names the function below, which nothing else calls.
"""

import os


def hook_folders() -> list[str]:
    """Where the hook lies."""
    return [os.path.dirname(__file__)]
