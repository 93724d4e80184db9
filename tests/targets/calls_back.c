/* An extension module: through(function, depth) calls the function after `depth` calls of its own. */
#include <Python.h>

static PyObject *__attribute__((noinline)) call_deeper(PyObject *function, int depth)
{
    PyObject *result = depth > 0 ? call_deeper(function, depth - 1) : PyObject_CallObject(function, NULL);
    __asm__ volatile("" ::: "memory"); /* no tail call */
    return result;
}

static PyObject *through(PyObject *self, PyObject *args)
{
    PyObject *function, *result;
    int depth;
    if (!PyArg_ParseTuple(args, "Oi", &function, &depth))
        return NULL;
    result = call_deeper(function, depth);
    __asm__ volatile("" ::: "memory");
    return result;
}

static PyMethodDef methods[] = {{"through", through, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};

#if PY_MAJOR_VERSION >= 3
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "calls_back", NULL, -1, methods};
PyMODINIT_FUNC PyInit_calls_back(void) { return PyModule_Create(&module); }
#else
PyMODINIT_FUNC initcalls_back(void) { Py_InitModule("calls_back", methods); }
#endif
