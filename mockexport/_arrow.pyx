# cython: language_level=3, binding=False, embedsignature=False
"""Capsules of the Arrow PyCapsule interface, around the C of native/arrow.h.

Rules: no knowledge of rows or reports, and none of what a format means: fields and data come described (see arrow.py)
and are copied. https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

cdef extern from "native/arrow.h" nogil:
    struct ArrowSchema:
        ArrowSchema **children
        ArrowSchema *dictionary
        void (*release)(ArrowSchema *)
    struct ArrowArray:
        ArrowArray **children
        ArrowArray *dictionary
        void (*release)(ArrowArray *)
    struct ArrowArrayStream:
        void (*release)(ArrowArrayStream *)
        void *private_data
    ctypedef struct one_array:
        ArrowSchema schema
        ArrowArray array
    int begin_schema(ArrowSchema *, const char *format, const char *name, int64_t flags, int64_t children, int has_dictionary)
    int begin_array(ArrowArray *, int64_t length, int64_t null_count, int64_t buffers, int64_t children, int has_dictionary)
    int put_buffer(ArrowArray *array, int64_t number, const void *bytes, size_t size)
    int begin_stream(ArrowArrayStream *stream)


def schema_capsule(field):
    """Return an "arrow_schema" capsule of a field: (name, format, flags, children, dictionary or None)."""
    cdef ArrowSchema *made = <ArrowSchema *>calloc(1, sizeof(ArrowSchema))
    if made == NULL:
        raise MemoryError
    capsule = PyCapsule_New(made, "arrow_schema", _drop_schema)
    _fill_schema(made, field)
    return capsule


def array_capsule(data):
    """Return an "arrow_array" capsule of data: (length, null count, buffers or None, children, dictionary or None)."""
    cdef ArrowArray *made = <ArrowArray *>calloc(1, sizeof(ArrowArray))
    if made == NULL:
        raise MemoryError
    capsule = PyCapsule_New(made, "arrow_array", _drop_array)
    _fill_array(made, data)
    return capsule


def stream_capsule(field, data):
    """Return an "arrow_array_stream" capsule of a field and the one piece of data that it has."""
    cdef one_array *of
    cdef ArrowArrayStream *made = <ArrowArrayStream *>calloc(1, sizeof(ArrowArrayStream))
    if made == NULL:
        raise MemoryError
    capsule = PyCapsule_New(made, "arrow_array_stream", _drop_stream)
    if begin_stream(made) < 0:
        raise MemoryError
    of = <one_array *>made.private_data
    _fill_schema(&of.schema, field)
    _fill_array(&of.array, data)
    return capsule


cdef int _fill_schema(ArrowSchema *into, field) except -1:
    cdef Py_ssize_t number
    cdef bytes name, format
    name, format, flags, children, dictionary = field
    if begin_schema(into, <const char *>format, <const char *>name, flags, len(children), dictionary is not None) < 0:
        raise MemoryError
    for number in range(len(children)):
        _fill_schema(into.children[number], children[number])
    if dictionary is not None:
        _fill_schema(into.dictionary, dictionary)
    return 0


cdef int _fill_array(ArrowArray *into, data) except -1:
    cdef Py_ssize_t number
    cdef Py_buffer view
    cdef int result
    length, null_count, buffers, children, dictionary = data
    if begin_array(into, length, null_count, len(buffers), len(children), dictionary is not None) < 0:
        raise MemoryError
    for number in range(len(buffers)):
        if buffers[number] is not None:
            PyObject_GetBuffer(buffers[number], &view, PyBUF_SIMPLE)
            result = put_buffer(into, number, view.buf, <size_t>view.len)
            PyBuffer_Release(&view)
            if result < 0:
                raise MemoryError
    for number in range(len(children)):
        _fill_array(into.children[number], children[number])
    if dictionary is not None:
        _fill_array(into.dictionary, dictionary)
    return 0


# A consumer that has taken what is in a capsule leaves it without a release.

cdef void _drop_schema(object capsule) noexcept:
    cdef ArrowSchema *made = <ArrowSchema *>PyCapsule_GetPointer(capsule, "arrow_schema")
    if made.release != NULL:
        made.release(made)
    free(made)


cdef void _drop_array(object capsule) noexcept:
    cdef ArrowArray *made = <ArrowArray *>PyCapsule_GetPointer(capsule, "arrow_array")
    if made.release != NULL:
        made.release(made)
    free(made)


cdef void _drop_stream(object capsule) noexcept:
    cdef ArrowArrayStream *made = <ArrowArrayStream *>PyCapsule_GetPointer(capsule, "arrow_array_stream")
    if made.release != NULL:
        made.release(made)
    free(made)
