# cython: language_level=3, boundscheck=False, wraparound=False
"""Lines of NDJSON in which an Observation is plainly well formed, by native/json_line.h: their members as they stand."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memchr, memcmp, memcpy

# What is measured is said in less than this (plain.MAX_REMEMBERED_BYTES), or the reference decides.
cdef enum:
    ROOM = 4096

cdef extern from "native/json_line.h" nogil:
    enum: JSON_MEMBERS
    ctypedef struct json_span:
        const char *at
        size_t length
    bint json_time(const json_span *text, long long *time_us)
    bint json_line(const char *p, size_t length, json_span *members)


cdef object _joined(const json_span *found):
    """Return the members that say what was measured, a line each: no line end is in any of them."""
    cdef int members[5]
    cdef char room[ROOM]
    cdef size_t at = 0
    cdef int place
    members[0], members[1], members[2], members[3], members[4] = 3, 4, 5, 8, 9
    for place in range(5):
        if found[members[place]].at != NULL:
            if at + found[members[place]].length + 1 > ROOM:
                return None
            memcpy(room + at, found[members[place]].at, found[members[place]].length)
            at += found[members[place]].length
        if at == ROOM:
            return None
        room[at] = 10
        at += 1
    return PyBytes_FromStringAndSize(room, at)


cdef object _cut(const json_span *member):
    return None if member.at == NULL else PyBytes_FromStringAndSize(member.at, member.length)


def plain_lines(bytes data, int start, int line):
    """Return, for each line that is not blank, its number, its first and last byte, and what it has.

    That is, of a plain Observation, (key, id, meta, subject, effective time), each as the bytes that stand there, None
    where nothing does; `key` are all members that say what was measured, and a plain time is in microseconds of UTC. It
    is None for a line that is not plain.
    """
    cdef const char *begin = data
    cdef const char *p = begin + start
    cdef const char *end = begin + len(data)
    cdef const char *stop
    cdef const char *last
    cdef const char *first
    cdef bint is_plain
    cdef long long time_us
    cdef json_span found[JSON_MEMBERS]
    lines = []
    while p < end:
        stop = <const char *>memchr(p, 10, end - p)
        if stop == NULL:
            stop = end
        first, last = p, stop
        while first < last and (first[0] == 32 or first[0] == 9 or first[0] == 13):
            first += 1
        while first < last and (last[-1] == 32 or last[-1] == 9 or last[-1] == 13):
            last -= 1
        if first < last:
            is_plain = json_line(first, last - first, found) and found[0].at != NULL
            is_plain = is_plain and found[0].length == 13 and memcmp(found[0].at, b"\"Observation\"", 13) == 0
            plain = None
            if is_plain:
                key = _joined(found)
            if is_plain and key is not None:
                time = time_us if json_time(&found[7], &time_us) else _cut(&found[7])
                plain = (key, _cut(&found[1]), _cut(&found[2]), _cut(&found[6]), time)
            lines.append((line, first - begin, last - begin, plain))
        p = stop + 1
        line += 1
    return lines
