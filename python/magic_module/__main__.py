"""`python -m magic_module` is the command `magic-module`."""

import sys

from magic_module._py.cli import main

if __name__ == "__main__":
    sys.exit(main())
