"""A library that is preloaded into a process: its calls for some paths fail, or its clock goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* FAIL_AT: how the path ends; FAIL_WITH: the errno. The paths of folders and of files that are opened count. */
static int fails(const char *path) {
    const char *end = getenv("FAIL_AT"), *with = getenv("FAIL_WITH");
    size_t whole = strlen(path), part = end ? strlen(end) : 0;
    if (!end || !with || whole < part || strcmp(path + whole - part, end)) return 0;
    errno = atoi(with);
    return 1;
}

DIR *opendir(const char *path) {
    DIR *(*next)(const char *) = (DIR *(*)(const char *))dlsym(RTLD_NEXT, "opendir");
    return fails(path) ? NULL : next(path);
}

#define OPEN(name)                                                                       \
    int name(const char *path, int flags, ...) {                                         \
        int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name); \
        va_list more;                                                                    \
        va_start(more, flags);                                                           \
        int mode = flags & O_CREAT ? va_arg(more, int) : 0;                              \
        va_end(more);                                                                    \
        return fails(path) ? -1 : next(path, flags, mode);                               \
    }
OPEN(open)
OPEN(open64)

/* FAIL_LOCKS: the errno of a file system that has no locks. */
int flock(int file, int act) {
    const char *with = getenv("FAIL_LOCKS");
    if (with) {
        errno = atoi(with);
        return -1;
    }
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(file, act);
}

/* FAIL_FOLDERS: folders below it lie in a lower layer, which no rename can take them out of. */
int rename(const char *from, const char *to) {
    const char *lower = getenv("FAIL_FOLDERS");
    struct stat found;
    if (lower && strstr(from, lower) && !lstat(from, &found) && S_ISDIR(found.st_mode)) {
        errno = EXDEV;
        return -1;
    }
    return ((int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename"))(from, to);
}

/* LATER_ONCE: as soon as there is such a file, it is an hour later. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = ((int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime"))(clock, now);
    const char *once = getenv("LATER_ONCE");
    if (once && clock == CLOCK_REALTIME && !access(once, F_OK)) now->tv_sec += 3600;
    return done;
}
"""


def without_locks(folder: Path, error: int) -> dict[str, str]:
    """The environment of a process whose file systems have no locks: `error` is what `flock` says."""
    return failing(folder, "nothing", error) | {"FAIL_LOCKS": str(error)}


def layered(folder: Path, path: str) -> dict[str, str]:
    """The environment of a process in which the folders below `path` lie in a layer of an image."""
    return failing(folder, "nothing", 0) | {"FAIL_FOLDERS": path}


def an_hour_later_once(folder: Path, file: Path) -> dict[str, str]:
    """The environment of a process for which it is an hour later as soon as `file` is there."""
    return failing(folder, "nothing", 0) | {"LATER_ONCE": str(file)}


def failing(folder: Path, path: str, error: int) -> dict[str, str]:
    """The environment of a process in which paths that end in `path` cannot be opened: `error` is the errno."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux preloads libraries like this")
    compiler = shutil.which("cc") or pytest.skip("no C compiler (cc) on this machine")
    source, library = folder / "failing.c", folder / "failing.so"
    if not library.exists():
        source.write_text(SOURCE)
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", str(source), "-o", str(library), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "FAIL_AT": path, "FAIL_WITH": str(error)}
