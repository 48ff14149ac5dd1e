"""C extensions for tests, compiled with the flags of the running interpreter."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

SOURCE = r"""
#include <Python.h>

static PyObject *twice(PyObject *self, PyObject *argument) {
    return PyNumber_Add(argument, argument);
}

static PyMethodDef methods[] = {{"twice", twice, METH_O, "Adds a value to itself."}, {NULL, NULL, 0, NULL}};

static int start(PyObject *module) {
    return PyModule_AddIntConstant(module, "NUMBER", @NUMBER@);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, start}, {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "@NAME@", "Made for a test.", 0, methods, slots};

PyMODINIT_FUNC PyInit_@NAME@(void) { return PyModuleDef_Init(&definition); }
"""


def suffix() -> str:
    return str(sysconfig.get_config_var("EXT_SUFFIX"))


def extension(folder: Path, name: str, number: int = 42) -> bytes:
    """Compiles an extension module with `twice` and `NUMBER`; skips where there is no compiler."""
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        compiler = [shutil.which("cc") or pytest.skip(f"no C compiler ({compiler[0]}) on this machine")]
    folder.mkdir(parents=True, exist_ok=True)
    source, target = folder / f"{name}.c", folder / f"{name}{suffix()}"
    source.write_text(SOURCE.replace("@NAME@", name).replace("@NUMBER@", str(number)))
    include = sysconfig.get_path("include")
    if not (Path(include) / "Python.h").is_file():
        pytest.skip(f"no Python.h in {include}")
    shared = (
        ["-bundle", "-undefined", "dynamic_lookup"] if sysconfig.get_platform().startswith("macos") else ["-shared"]
    )
    subprocess.run([*compiler, *shared, "-fPIC", f"-I{include}", str(source), "-o", str(target)], check=True)
    return target.read_bytes()
