/* An extension module that does nothing: what loading any costs, which is the floor of loading ours. */

#define Py_LIMITED_API 0x030a0000
#include <Python.h>

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", NULL, 0, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    return PyModuleDef_Init(&module);
}
