# cython: language_level=3, binding=False, embedsignature=False
"""The compiled twin of generation.reference_rows: an object around the C of native/generate.h.

Rules: the reference decides what the bytes are; here is only what makes them sooner. A generator is used by one thread
at a time, and lets go of the interpreter's lock while it works.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

cdef extern from "native/generate.h" nogil:
    enum:
        TWISTER_WORDS
        SPARE
        FIXED_BYTES
    ctypedef struct twister:
        uint32_t *state
        uint32_t next
    ctypedef struct piece_of_text:
        const char *text
        uint32_t length
    ctypedef struct value_law:
        piece_of_text tail
        double mean
        double deviation
        int64_t lowest
        int64_t highest
    ctypedef struct row_generator:
        twister draw
        piece_of_text *patients
        uint32_t patient_count
        value_law *laws
        uint32_t law_count
        int64_t minute_us
        int64_t slot_us
        int64_t step_us
        double step_s
        uint64_t rows_left
        int64_t written_us
    void temper_words(twister *draw)
    uint64_t write_rows(row_generator *rows, char *out, uint64_t size, uint64_t longest)
    uint64_t skip_rows(row_generator *rows, uint64_t size, uint64_t longest, uint64_t rows_at_most)

cdef int64_t MINUTE_US = 60000000


cdef class Generator:
    """The rows of one download.

    Args:
        state: the 625 numbers of random.Random.getstate()[1].
        patients: the ids, as bytes.
        laws: of the event types (name as bytes, mean, deviation, lowest, highest).
        rows, start_us, step_us: as in GeneratedDownload.
    """

    cdef row_generator rows
    cdef uint64_t longest
    cdef char *texts
    cdef char *out
    cdef uint64_t size
    cdef bint busy

    def __cinit__(self, state, patients, laws, uint64_t rows, int64_t start_us, int64_t step_us, uint64_t piece_bytes):
        cdef uint32_t number
        cdef char *at
        self.busy = False
        if len(state) != TWISTER_WORDS + 1 or not patients or not laws or start_us < 0 or step_us < 0:
            raise ValueError("no such download")
        for number in range(TWISTER_WORDS):
            self.rows.draw.state[number] = state[number]
        self.rows.draw.next = state[TWISTER_WORDS]
        if self.rows.draw.next > TWISTER_WORDS:
            raise ValueError("no such state")
        temper_words(&self.rows.draw)

        texts = [patient + b"," for patient in patients] + [b"Z," + law[0] + b"," for law in laws]
        self.rows.patients = <piece_of_text *>calloc(len(patients), sizeof(piece_of_text))
        self.rows.laws = <value_law *>calloc(len(laws), sizeof(value_law))
        self.texts = <char *>calloc(sum([len(text) for text in texts]) + SPARE, 1)
        if self.rows.patients == NULL or self.rows.laws == NULL or self.texts == NULL:
            raise MemoryError
        self.rows.patient_count = len(patients)
        self.rows.law_count = len(laws)
        at = self.texts
        for number, text in enumerate(texts):
            memcpy(at, <const char *>text, len(text))
            if number < self.rows.patient_count:
                self.rows.patients[number].text = at
                self.rows.patients[number].length = len(text)
            else:
                self.rows.laws[number - self.rows.patient_count].tail.text = at
                self.rows.laws[number - self.rows.patient_count].tail.length = len(text)
            at += len(text)
        for number, law in enumerate(laws):
            _, mean, deviation, lowest, highest = law
            self.rows.laws[number].mean = mean
            self.rows.laws[number].deviation = deviation
            self.rows.laws[number].lowest = lowest
            self.rows.laws[number].highest = highest

        self.rows.rows_left = rows
        self.rows.slot_us = start_us % MINUTE_US
        self.rows.minute_us = start_us - self.rows.slot_us
        self.rows.written_us = -1
        self.rows.step_us = step_us
        # As Python divides integers: correctly rounded, which both are below 2⁵³ for.
        self.rows.step_s = <double>step_us / 1000000.0
        self.longest = max(map(len, patients)) + max([len(law[0]) for law in laws]) + 4 + FIXED_BYTES + SPARE
        self.size = max(piece_bytes, self.longest)
        self.out = <char *>malloc(self.size + SPARE)
        if self.out == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.rows.patients)
        free(self.rows.laws)
        free(self.texts)
        free(self.out)

    def piece(self):
        """Return the next rows: some `piece_bytes`, and nothing at the end."""
        cdef uint64_t made
        self._begin()
        with nogil:
            made = write_rows(&self.rows, self.out, self.size, self.longest)
        self.busy = False
        return PyBytes_FromStringAndSize(self.out, <Py_ssize_t>made)

    def skip(self, uint64_t size, uint64_t rows_at_most):
        """Pass over whole rows of no more than `size` bytes in all; return how many bytes.

        It ends, too, after so many rows, and some rows' length before `size`.
        """
        cdef uint64_t made
        self._begin()
        with nogil:
            made = skip_rows(&self.rows, size, self.longest, rows_at_most)
        self.busy = False
        return made

    cdef int _begin(self) except -1:
        if self.busy:
            raise RuntimeError("the generator is in use by another thread")
        self.busy = True
        return 0
