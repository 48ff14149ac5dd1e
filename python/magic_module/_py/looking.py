"""Files that a program looks at without opening them: `os.path.exists`, `os.path.getsize`, `Path.is_file`.

No audit event tells of that, but all of these call `os.stat`. The import system has one of its own.
"""

import functools
import os
import stat
from collections.abc import Callable
from typing import Any


def watch(tell: Callable[[str], None]) -> None:
    """From now on, `tell` is given the path of each file that is looked at and is there."""
    stock = os.stat

    @functools.wraps(stock)
    def look(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        found = stock(path, *arguments, **options)
        if not isinstance(path, int) and options.get("dir_fd") is None and stat.S_ISREG(found.st_mode):
            tell(os.fsdecode(path))
        return found

    for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        if stock in able:
            able.add(look)
    os.stat = look
