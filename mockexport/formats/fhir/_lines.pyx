# cython: language_level=3, boundscheck=False, wraparound=False
"""Lines of NDJSON in which an Observation is plainly well formed → rows as columns, by native/observations.h."""

import os

from cpython.bytearray cimport PyByteArray_AsString
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr, memcpy

cdef extern from "native/observations.h" nogil:
    enum:
        ROWLESS
        LINE_TAKEN
        LINE_ASIDE
        ASK_MEANING
        ASK_SUBJECT
    uint64_t hash_key[2]
    uint64_t load64(const void *at)
    ctypedef struct json_shapes:
        pass
    ctypedef struct measured:
        uint64_t low
        uint64_t high
        uint32_t type
    ctypedef struct meaning:
        uint64_t taken
    ctypedef struct resource_row:
        uint8_t key[16]
        uint64_t version
        int64_t updated
        int64_t time_us
        int64_t line
        uint64_t low
        uint64_t high
        uint32_t subject
        uint32_t type
        uint16_t place
    ctypedef struct absence:
        uint32_t meaning
        uint32_t subject
        int64_t time_us
        int64_t line
    ctypedef struct observations:
        json_shapes *shapes
        meaning *meanings
        resource_row *rows
        absence *absences
        uint32_t *touched
        uint32_t *new_subjects
        size_t row_count
        size_t absence_count
        size_t touched_count
        size_t new_count
        size_t taken
        size_t measured_count
        char *text
        size_t text_length
    int take_line(observations *all, const char *p, size_t length, int64_t line)
    int learn_row(observations *all, measured row)
    int learn_meaning(observations *all, bint by_reference, bint matters, bint has_missing, uint32_t rows)
    int learn_subject(observations *all, bint by_reference)
    void forget_chunk(observations *all)
    size_t learnt_bytes(const observations *all)
    void free_observations(observations *all)

cdef extern from "native/repeated.h" nogil:
    int64_t find_repeated(const uint8_t *keys, const uint16_t *places, size_t row_count, uint8_t *again)


def repeated(const uint8_t[::1] keys, const uint16_t[::1] places):
    """Return the rows where resources begin whose keys begin others, too (see resources.Columns)."""
    cdef size_t count = len(places)
    if count >= 0x7FFFFFFF or len(keys) != 16 * count:
        raise ValueError("there are too many rows, or not as many keys")
    cdef int64_t found = 0
    again = bytearray(count)
    cdef char *at = PyByteArray_AsString(again)
    if count:
        with nogil:
            found = find_repeated(&keys[0], &places[0], count, <uint8_t *>at)
    if found < 0:
        raise MemoryError
    return [row for row in range(count) if at[row]] if found else []


cdef class Shapes:
    """What has been learnt of the shapes of lines: it serves all spans of a run."""

    cdef json_shapes *shapes

    def __cinit__(self):
        self.shapes = <json_shapes *>calloc(1, sizeof(json_shapes))
        if self.shapes == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.shapes)


cdef class Observations:
    """Takes the plain lines of a span, chunk by chunk; see native/observations.h."""

    cdef observations all
    cdef Shapes shapes
    cdef bytes data
    cdef size_t at
    cdef int64_t line

    def __init__(self, Shapes shapes):
        self.shapes = shapes
        self.all.shapes = shapes.shapes

    def __dealloc__(self):
        free_observations(&self.all)

    @property
    def learnt_bytes(self):
        """What is held of what was learnt, about."""
        return learnt_bytes(&self.all)

    def begin(self, bytes data, int64_t line):
        """Begin with a chunk, whose first line has that number, and forget the rows of the one before."""
        forget_chunk(&self.all)
        self.data, self.at, self.line = data, 0, line

    def go_on(self):
        """Take lines up to one about which the reference is to be asked; return None at the end of the chunk.

        That is: its number, its first and last byte; and, if something about it is to be learnt, as which it will be
        looked at again, the text that says what was measured, or the subject. With neither, the line is done with.
        """
        cdef const char *begin = PyBytes_AsString(self.data)
        cdef const char *p = begin + self.at
        cdef const char *end = begin + len(self.data)
        cdef const char *stop
        cdef const char *last
        cdef const char *first
        cdef int found
        while p < end:
            stop = <const char *>memchr(p, 10, end - p)
            if stop == NULL:
                stop = end
            first, last = p, stop
            while first < last and (first[0] == 32 or first[0] == 9 or first[0] == 13):
                first += 1
            while first < last and ((last - 1)[0] == 32 or (last - 1)[0] == 9 or (last - 1)[0] == 13):
                last -= 1
            if first < last:
                found = take_line(&self.all, first, last - first, self.line)
                if found < 0:
                    raise MemoryError
                if found != LINE_TAKEN:
                    line = self.line
                    text = None
                    if found == LINE_ASIDE:
                        p = stop + 1
                        self.line += 1
                    else:
                        text = PyBytes_FromStringAndSize(self.all.text, self.all.text_length)
                    self.at = p - begin
                    meaning = text if found == ASK_MEANING else None
                    return line, first - begin, last - begin, meaning, text if found == ASK_SUBJECT else None
            p = stop + 1
            self.line += 1
        self.data, self.at = b"", 0
        return None

    def learn_meaning(self, list rows, bint matters, bint has_missing):
        """Learn which rows, (type, value), the text comes to that was asked about; None: the reference decides."""
        cdef measured row
        for event_type, value in rows or ():
            row.type = event_type
            row.low = value & 0xFFFFFFFFFFFFFFFF
            row.high = (value >> 64) & 0xFFFFFFFFFFFFFFFF
            if learn_row(&self.all, row) < 0:
                raise MemoryError
        if learn_meaning(&self.all, rows is None, matters, has_missing, len(rows or ())) < 0:
            raise MemoryError

    def learn_subject(self, bint by_reference):
        """Learn that the subject that was asked about is a patient, or that the reference decides."""
        if learn_subject(&self.all, by_reference) < 0:
            raise MemoryError

    @property
    def taken(self):
        """The number of resources taken of the chunk."""
        return self.all.taken

    @property
    def meanings(self):
        """The meanings that lines of the chunk had, by number, and how many."""
        return [(self.all.touched[i], self.all.meanings[self.all.touched[i]].taken) for i in range(self.all.touched_count)]

    @property
    def new_subjects(self):
        """The numbers of the subjects that have their first row in this chunk."""
        return [self.all.new_subjects[i] for i in range(self.all.new_count)]

    @property
    def absences(self):
        """The lines with missing values: meaning, subject, time, line."""
        cdef absence *each
        found = []
        for i in range(self.all.absence_count):
            each = &self.all.absences[i]
            found.append((each.meaning, each.subject, each.time_us, each.line))
        return found

    def columns(self):
        """Return the chunk's rows, those of resources without any included: their number, and columns as bytes.

        The columns: their lines, and those of resources.Columns, with subjects for patients.
        """
        cdef size_t n = self.all.row_count, i, rows = 0
        cdef resource_row *row
        keys, versions, updated, times = _room(16 * n), _room(8 * n), _room(8 * n), _room(8 * n)
        values, subjects, types, places, lines = _room(16 * n), _room(4 * n), _room(4 * n), _room(2 * n), _room(8 * n)
        cdef char *at_key = PyBytes_AsString(keys)
        cdef uint64_t *at_version = <uint64_t *>PyBytes_AsString(versions)
        cdef int64_t *at_updated = <int64_t *>PyBytes_AsString(updated)
        cdef int64_t *at_time = <int64_t *>PyBytes_AsString(times)
        cdef uint64_t *at_value = <uint64_t *>PyBytes_AsString(values)
        cdef uint32_t *at_subject = <uint32_t *>PyBytes_AsString(subjects)
        cdef uint32_t *at_type = <uint32_t *>PyBytes_AsString(types)
        cdef uint16_t *at_place = <uint16_t *>PyBytes_AsString(places)
        cdef int64_t *at_line = <int64_t *>PyBytes_AsString(lines)
        for i in range(n):
            row = &self.all.rows[i]
            memcpy(at_key + 16 * i, row.key, 16)
            at_version[i], at_updated[i], at_time[i] = row.version, row.updated, row.time_us
            at_value[2 * i], at_value[2 * i + 1] = row.low, row.high
            at_subject[i], at_type[i], at_place[i], at_line[i] = row.subject, row.type, row.place, row.line
            rows += row.place != ROWLESS
        return rows, lines, keys, versions, updated, times, values, subjects, types, places


cdef bytes _room(size_t size):
    return PyBytes_FromStringAndSize(NULL, size)


def _prepare():
    drawn = os.urandom(16)
    hash_key[0] = load64(PyBytes_AsString(drawn))
    hash_key[1] = load64(PyBytes_AsString(drawn) + 8) | 1


_prepare()
