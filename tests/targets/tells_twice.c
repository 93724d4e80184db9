/* What modules made by Cython do with an exception that they cannot raise: print it, then call it ignored. */

void PyErr_SetString(void *, const char *);
void PyErr_Fetch(void **, void **, void **);
void PyErr_Restore(void *, void *, void *);
void PyErr_PrintEx(int);
void PyErr_WriteUnraisable(void *);
void Py_IncRef(void *);

void tell_twice(void *type, void *context)
{
    void *kind, *value, *traceback;
    PyErr_SetString(type, "twice");
    PyErr_Fetch(&kind, &value, &traceback);
    Py_IncRef(kind);
    Py_IncRef(value);
    Py_IncRef(traceback);
    PyErr_Restore(kind, value, traceback);
    PyErr_PrintEx(0);
    PyErr_Restore(kind, value, traceback);
    PyErr_WriteUnraisable(context);
}
