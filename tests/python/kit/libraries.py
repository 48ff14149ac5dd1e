"""Shared libraries, and extension modules that find one, compiled on the spot."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

MODULE = r"""
#define _GNU_SOURCE
#include <Python.h>
#include <dlfcn.h>
@DECLARED@
static int start(PyObject *module) {
    int number = -1;
    @FOUND@
    return PyModule_AddIntConstant(module, "NUMBER", number);
}
static PyModuleDef_Slot slots[] = {{Py_mod_exec, start}, {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "core", NULL, 0, NULL, slots};
PyMODINIT_FUNC PyInit_core(void) { return PyModuleDef_Init(&definition); }
"""


def compiled(folder: Path, name: str, source: str, *options: str) -> bytes:
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        compiler = [shutil.which("cc") or pytest.skip("no C compiler on this machine")]
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        pytest.skip("no Python.h on this machine")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.c").write_text(source)
    include = f"-I{sysconfig.get_path('include')}"
    line = [*compiler, "-shared", "-fPIC", include, f"{name}.c", "-o", name, f"-Wl,-soname,{name}", *options]
    subprocess.run(line, cwd=folder, check=True)
    return (folder / name).read_bytes()


def module(folder: Path, found: str, *options: str, declared: str = "") -> bytes:
    return compiled(folder, "core.so", MODULE.replace("@FOUND@", found).replace("@DECLARED@", declared), *options)


def library(folder: Path, name: str, number: int) -> bytes:
    return compiled(folder, f"lib{name}.so", f"int {name}(void) {{ return {number}; }}")
