"""All of our modules. They are listed and not imported: a mount would list what it serves, too."""  # noqa: N999

from pathlib import Path

from PyInstaller.utils.hooks import copy_metadata

_PACKAGE = Path(__file__).parents[2]
#: A program that uses them imports them by name, and has what they import.
_LEFT = {"integrations", "pyinstaller"}

_files = (path.relative_to(_PACKAGE.parent).with_suffix("") for path in _PACKAGE.rglob("*.py"))
hiddenimports = [".".join(file.parts).removesuffix(".__init__") for file in _files if not _LEFT & set(file.parts)]
datas = copy_metadata("magic_module")
