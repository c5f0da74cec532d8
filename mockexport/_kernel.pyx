# cython: language_level=3, binding=False, embedsignature=False
"""The compiled twin of the CSV reference, of `Summary` and `Selection`: objects around the C of `native/`.

Rules: no decisions here and none about Python: what a row means is in native/rows.h, who is asked when is in
kernel.py. A State is used by one thread at a time, which is checked: the interpreter's lock is released during a scan.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset, strlen

import os
from json.encoder import encode_basestring_ascii
from operator import index

cdef extern from "native/heap.h" nogil:
    void tune_heap()

cdef extern from "native/index.h" nogil:
    const char *index_name
    int choose_index(const char *name)
    uint32_t load32(const void *at)

cdef extern from "native/wide.h" nogil:
    ctypedef long long wide  # of 128 bits: `_integer` and `_wide` convert it
    ctypedef unsigned long long wide_size
    ctypedef struct big:
        uint64_t words[6]
    wide WIDE_END
    int narrow_of(wide value, int64_t *narrow)

cdef extern from "native/families.h" nogil:
    enum:
        FAMILY_SQUARES
        FAMILY_VALUES
        FAMILY_HOURS
        FAMILY_DAYS
        FAMILY_COURSE
        MAX_EXACT_VALUES
        KEPT_BITS
        MAX_UNITS
        MAX_ENTRIES
        COURSE_LEVELS
    uint64_t hash_key[2]
    ctypedef struct wide_counted:
        wide key
        uint64_t count
    ctypedef struct wide_part:
        size_t used
    ctypedef struct counter:
        uint32_t used
        uint8_t over
    ctypedef struct family_group:
        uint64_t squares[3]
        counter values
        counter hours
        counter days
        counter course
    size_t wide_values(const wide_part *of)
    wide_counted *sorted_counts(const counter *of, const wide_part *apart, int of_values)
    int merge_families(family_group *into, wide_part *apart, const family_group *other, const wide_part *other_apart)
    void free_families(family_group *of, size_t count)

cdef extern from "native/state.h" nogil:
    enum:
        MAX_ID_BYTES
        NO_ID
        PADDING
        SHORT_ID_BYTES
    ctypedef struct id_record:
        pass
    ctypedef struct id_table:
        id_record *records
        uint32_t count
    ctypedef struct group:
        uint32_t patient
        uint32_t type
        uint64_t count
        uint64_t total_low
        uint64_t total_high
        int64_t low
        int64_t high
        uint64_t anomalies
        int64_t first_us
        int64_t last_us
        wide_part *apart
    ctypedef struct bounds:
        wide low
        wide high
    ctypedef struct normal_range:
        pass
    ctypedef struct summary_state:
        id_table patients
        id_table types
        id_table ruled
        normal_range *normal
        bounds *rules
        group *groups
        uint32_t count
        unsigned families
        family_group *family_groups
    void id_words(const uint8_t *at, uint32_t length, uint64_t *low, uint64_t *high)
    uint32_t id_length(const id_record *record)
    int add_wide_value(summary_state *state, int64_t number, int64_t time_us, wide value)
    big total_of(const group *of)
    wide low_of(const group *of)
    wide high_of(const group *of)
    big squares_of(const group *of, const family_group *kept)
    void free_groups(group *groups, size_t count)
    int begin_state(summary_state *state)
    const uint8_t *id_bytes(const id_table *table, uint32_t number)
    int64_t add_id(id_table *table, uint64_t low, uint64_t high, uint32_t length, const uint8_t *bytes, int plain)
    int is_plain_id(const uint8_t *bytes, size_t length)
    int64_t intern_patient(summary_state *, uint64_t, uint64_t, uint32_t, const uint8_t *, int)
    int64_t intern_type(summary_state *, uint64_t, uint64_t, uint32_t, const uint8_t *, int)
    int64_t intern_group(summary_state *state, uint32_t patient, uint32_t type)
    void add_total(group *into, uint64_t low, uint64_t high)
    int add_group(group *into, const group *other)
    void free_ids(id_table *table)
    int merge_states(summary_state *earlier, const summary_state *later)
    void free_state(summary_state *state)

cdef extern from "native/reach.h" nogil:
    ctypedef struct reach:
        int64_t first_us, last_us
    uint32_t write_reaches(const summary_state *state, reach *out)
    uint32_t reach_of_all(const summary_state *state, reach *out)

cdef extern from "native/columns.h" nogil:
    ctypedef struct numbered_row:
        uint32_t patient
        uint32_t type
        int64_t time_us
        wide value
    ctypedef struct row_columns:
        uint32_t *patients
        uint32_t *types
        int64_t *times
        wide *values
        size_t count
    int insert_rows(row_columns *columns, const numbered_row *rows, const size_t *places, size_t count)

cdef extern from "native/coverage.h" nogil:
    ctypedef struct time_bucket:
        int64_t number
        uint64_t rows
    ctypedef struct coverage:
        uint32_t count
        uint32_t shift
        time_bucket *buckets

cdef extern from "native/fields.h" nogil:
    ctypedef struct offset_span:
        int64_t from_us
        int64_t ahead_us
    ctypedef struct time_reading:
        uint64_t low
        uint64_t high
        int64_t minute_us
        const offset_span *spans
        uint32_t span_count
        int64_t ahead_us
    int64_t ahead_at(const time_reading *times, int64_t minute_us)
    int64_t read_value(const uint8_t *at, uint32_t length, wide *apart)

cdef extern from "native/bounds.h" nogil:
    enum:
        NO_SIGN
    ctypedef struct row_signs:
        uint8_t delimiter
        uint16_t quote
        uint16_t escape
        uint16_t comment

cdef extern from "native/times.h" nogil:
    enum:
        TIME_ISO
        TIME_PATTERN
        TIME_NUMBER
    ctypedef struct time_step:
        uint8_t directive
        uint8_t byte
    ctypedef struct time_format:
        int kind
        const time_step *steps
        uint32_t step_count
        int is_certain
        int64_t unit_us
        int64_t origin_us
        int is_clock
    ctypedef struct time_formats:
        const time_format *formats
        uint32_t format_count
        int alone
    void begin_fixed(time_format *format)

cdef extern from "native/plan.h" nogil:
    enum:
        NOTE_DATES
        NOTE_CENSORED
        NOTE_BOUND
        NOTE_TEXT
        CENSORED_LEFT_OUT
        CENSORED_BOUND
        CENSORED_BAD
    ctypedef struct text:
        const uint8_t *at
        uint32_t length
    ctypedef struct plan_part:
        uint32_t count
        const uint32_t *fields
        text constant
    ctypedef struct plan_value:
        plan_part source "from"
        text type
    ctypedef struct plan_condition:
        uint32_t field
        uint32_t any_count
        uint32_t count
        int has_any
        const text *texts
    ctypedef struct plan_word:
        text spelled "is"
        int64_t value
        wide apart
    ctypedef struct sample_clock:
        int64_t next_us
        int64_t step_us
        uint64_t rest
        uint64_t step_rest
        uint64_t rate
        uint64_t count
    ctypedef struct plan:
        int knows_none
        int is_sampled
        sample_clock clock
        uint32_t width
        uint32_t field_count
        const uint32_t *places
        plan_part patient
        plan_part time
        plan_part type
        plan_part unit
        int has_unit
        int is_wide
        uint32_t value_count
        const plan_value *values
        uint32_t condition_count
        const plan_condition *conditions
        time_formats times
        int dates_noted
        uint8_t decimal
        uint32_t group_count
        const text *groups
        uint32_t word_count
        const plan_word *words
        int censored
        int text_is_missing
    void *plan_room(plan *of, size_t count, size_t size)
    int begin_plan(plan *of)
    void free_plan(plan *of)

cdef extern from "native/scanning.h" nogil:
    ctypedef struct aside_row:
        uint64_t start
        uint64_t end
        uint64_t line
        size_t place
    ctypedef struct token:
        const uint8_t *bytes
        uint32_t length
    ctypedef struct null_number:
        int64_t value
        wide apart
    ctypedef struct row_filter:
        uint64_t since
        uint64_t width
        id_table patients
        id_table types
        int by_patient
        int by_type
    ctypedef struct row_scan:
        uint32_t patient
        uint32_t time
        uint32_t type
        uint32_t value
        uint32_t fields
        row_signs signs
        plan *plan
        int by_plan
        int only_plan
        uint64_t *noted
        token *null_tokens
        uint32_t null_count
        null_number *null_numbers
        uint32_t null_number_count
        token *names
        uint32_t name_count
        int any_name
        int stopped
        int is_open
        uint64_t stopped_at
        int to_columns
        int keep_missing
        row_columns columns
        time_reading times
        const row_filter *filter
        uint64_t rows
        uint64_t filtered
        int64_t first_us
        int64_t last_us
        uint64_t *missing
        size_t missing_capacity
        coverage *covered
        aside_row *aside
        size_t aside_count
        uint64_t lines
    uint64_t load64(const void *at)
    void add_value(summary_state *state, int64_t number, int64_t time_us, int64_t value)
    int add_further(summary_state *state, int64_t number, int64_t time_us, int64_t value)
    int scan_chunk(row_scan *scan, summary_state *state, const uint8_t *data, size_t size)
    void free_scan(row_scan *scan)

cdef extern from "native/crew.h" nogil:
    enum:
        JOB_SCAN
        JOB_READ
        MAX_JOBS
        MAX_CREW
    ctypedef struct crew_job:
        int kind
        row_scan *scan
        summary_state *state
        const uint8_t *data
        int fd
        uint8_t *into
        int64_t offset
        size_t size
        int64_t result
        void *owner
    ctypedef struct crew:
        unsigned threads
        int watched
        uint32_t held
    int begin_crew(crew *of, unsigned threads, int with_eventfd)
    int queue_job(crew *of, crew_job *job)
    size_t take_done(crew *of, crew_job **taken)
    void join_crew(crew *of)
    void end_crew(crew *of)

cdef extern from "native/dump.h" nogil:
    ctypedef struct byte_buffer:
        uint8_t *bytes
        size_t used
    int dump_state(const summary_state *state, byte_buffer *out)
    uint8_t *put_bytes(byte_buffer *out, size_t size)

cdef extern from "native/figures.h" nogil:
    int figure_of(wide value, int64_t *whole, double *fraction)
    int mean_of(big total, uint64_t count, double *mean)
    int latency_of(int64_t first_us, int64_t last_us, uint64_t gaps, double *latency)

cdef extern from "Python.h":
    char *PyOS_double_to_string(double value, char form, int precision, int flags, int *kind)
    void PyMem_Free(void *text)
    int Py_DTSF_ADD_DOT_0

cdef extern from "native/load.h" nogil:
    enum:
        NO_STATE
    int load_state(summary_state *state, const uint8_t *bytes, size_t size)

cdef int64_t INT64_MAX = 0x7FFFFFFFFFFFFFFF
cdef int64_t INT64_MIN = -INT64_MAX - 1


def path():
    """Return the name of the instructions in use: "sse2", "avx2", "avx512", "neon" or "words"."""
    return index_name.decode()


def use_path(name=None):
    """Use the instructions of that name, by default the best; False if this machine has none of that name."""
    if name is None:
        return choose_index(NULL) != 0
    text = name.encode()
    return choose_index(<const char *>text) != 0


def settle_heap():
    """Set the C library's heap up for a process that is a run and nothing else (native/heap.h). It lasts."""
    tune_heap()


# Families by the names and limits that they have in fingerprints (reducers.family), in the order of a state.
FAMILIES = {
    "squares": FAMILY_SQUARES,
    f"values {MAX_EXACT_VALUES} {KEPT_BITS}": FAMILY_VALUES,
    f"hours {MAX_UNITS}": FAMILY_HOURS,
    f"days {MAX_UNITS}": FAMILY_DAYS,
    f"course {MAX_ENTRIES} {COURSE_LEVELS}": FAMILY_COURSE,
}


cdef class State:
    """The groups of `Summary` or, with `families` (names out of FAMILIES), of `Selection`.

    `rules` are (event type, lowest normal, highest normal), bounds in units of 10⁻¹⁸.
    """

    cdef summary_state state
    cdef bint busy

    def __cinit__(self, rules, families=()):
        cdef size_t number = 0
        for family in families:
            self.state.families |= <unsigned>FAMILIES[family]
        if begin_state(&self.state) < 0:
            raise MemoryError
        cdef list copied = list(rules)
        self.state.rules = <bounds *>calloc(len(copied) + 1, sizeof(bounds))
        if self.state.rules == NULL:
            raise MemoryError
        for name, low, high in copied:
            _intern(&self.state, &self.state.ruled, name)
            # Bounds beyond all values might as well be there.
            self.state.rules[number] = bounds(_wide(max(-_END, min(low, _END))), _wide(max(-_END, min(high, _END))))
            number += 1

    def __dealloc__(self):
        free_state(&self.state)

    def __len__(self):
        return self.state.count

    @property
    def is_busy(self):
        """Whether a scan, a merge or a dump is at it in another thread: everything else is refused so long."""
        return self.busy

    @property
    def known(self):
        """How many patients and how many event types have a number."""
        return self.state.patients.count, self.state.types.count

    def patients(self, uint32_t count, uint32_t start=0):
        """Return the first `count` patients that came, from number `start` on."""
        return self._names(&self.state.patients, count, start)

    def types(self, uint32_t count, uint32_t start=0):
        """Return the first `count` event types that came, from number `start` on."""
        return self._names(&self.state.types, count, start)

    cdef list _names(self, id_table *table, uint32_t count, uint32_t start):
        cdef uint32_t number
        self._begin()
        try:
            return [_text(table, number) for number in range(start, min(count, table.count))]
        finally:
            self.busy = False

    def row(self, uint32_t number):
        """Return a group: patient, event type, and the numbers of a dumped row."""
        cdef group *at
        self._begin()
        try:
            if number >= self.state.count:
                raise IndexError(number)
            at = &self.state.groups[number]
            further = _further(at, &self.state.family_groups[number], self.state.families) if self.state.families else ()
            return _text(&self.state.patients, at.patient), _text(&self.state.types, at.type), *_numbers(at), *further
        finally:
            self.busy = False

    def totals(self):
        """Return per event type: its name, how many groups, the sum of last − first, and the numbers of a dumped row."""
        cdef uint32_t number, types
        cdef group *sums = NULL
        cdef group *waits = NULL
        cdef family_group *further = NULL
        cdef int result = 0
        self._begin()
        types = self.state.types.count
        try:
            sums = <group *>calloc(<size_t>types + 1, sizeof(group))
            waits = <group *>calloc(<size_t>types + 1, sizeof(group))
            further = <family_group *>calloc(<size_t>types + 1, sizeof(family_group))
            if sums == NULL or waits == NULL or further == NULL:
                raise MemoryError
            with nogil:
                result = _sum_by_type(&self.state, sums, waits, further)
            if result < 0:
                raise MemoryError
            return [
                (
                    _text(&self.state.types, number), waits[number].count, _narrow_total(&waits[number]),
                    *_numbers(&sums[number]), *_further(&sums[number], &further[number], self.state.families),
                )
                for number in range(types)
                if waits[number].count
            ]
        finally:
            self.busy = False
            free_groups(sums, 0 if sums == NULL else types)
            free(waits)
            free_families(further, 0 if further == NULL else types)

    def merge(self, State later not None):
        """Add the groups of another state, of the same families, to this one."""
        cdef int result
        if later is self:
            raise ValueError("a state cannot be merged with itself")
        if later.state.families != self.state.families:
            raise ValueError("a state cannot be merged with one that keeps something else")
        later._check()
        self._begin()
        later.busy = True
        with nogil:
            result = merge_states(&self.state, &later.state)
        self.busy = later.busy = False
        if result < 0:
            raise MemoryError

    def dump(self):
        """Return the state as bytes, the same as Summary.dump or Selection.dump."""
        cdef byte_buffer out
        cdef int result
        memset(&out, 0, sizeof(byte_buffer))
        self._begin()
        with nogil:
            result = dump_state(&self.state, &out)
        self.busy = False
        try:
            if result < 0:
                raise MemoryError
            return PyBytes_FromStringAndSize(<const char *>out.bytes, <Py_ssize_t>out.used)
        finally:
            free(out.bytes)

    def reach(self):
        """Return how many groups have values, and the first and the last time of all of them; None if none has any."""
        cdef reach whole
        cdef uint32_t groups
        self._check()
        groups = reach_of_all(&self.state, &whole)
        return None if groups == 0 else (groups, whole.first_us, whole.last_us)

    def reaches(self):
        """Return how far each group reaches, as reducers.reach.pack_reaches does."""
        cdef uint32_t written
        self._begin()
        cdef reach *out = <reach *>malloc((<size_t>self.state.count + 1) * sizeof(reach))
        if out == NULL:
            self.busy = False
            raise MemoryError
        with nogil:
            written = write_reaches(&self.state, out)
        self.busy = False
        try:
            return PyBytes_FromStringAndSize(<const char *>out, <Py_ssize_t>(written * sizeof(reach)))
        finally:
            free(out)

    def load(self, bytes data not None):
        """Take in what `dump`, of either engine, wrote; ValueError if it is no state, and this one is of no use then."""
        cdef const uint8_t *at = <const uint8_t *><const char *>data
        cdef size_t size = len(data)
        cdef int result
        self._begin()
        if self.state.count or self.state.patients.count or self.state.types.count:
            result = NO_STATE
        else:
            with nogil:
                result = load_state(&self.state, at, size)
        self.busy = False
        if result == NO_STATE:
            raise ValueError("the bytes are no state, or this state is not empty")
        if result < 0:
            raise MemoryError

    def add_rows(self, patients, times, types, values):
        """Add rows given as columns: those that the reference has decoded."""
        cdef wide value
        cdef int64_t at_us
        for patient, time_us, event_type, scaled in zip(patients, times, types, values, strict=True):
            # Both are converted before a group is looked at: what runs Python could move groups.
            value, at_us = _wide(scaled), time_us
            self._add(self._group(patient, event_type), at_us, value)

    def add_packed(self, columns, names):
        """Add rows given as columns of bytes, and the names of patients and types (see formats.resources)."""
        cdef bytes times = columns.times, values = columns.values, patients = columns.patients, types = columns.types
        cdef bytes places = columns.places
        cdef const int64_t *at_us = <const int64_t *><const char *>times
        cdef const uint64_t *words = <const uint64_t *><const char *>values  # two to a value, the lower first
        cdef const uint32_t *patient = <const uint32_t *><const char *>patients
        cdef const uint32_t *event_type = <const uint32_t *><const char *>types
        cdef const uint16_t *place = <const uint16_t *><const char *>places
        cdef size_t rows = len(places) // 2, row
        cdef int64_t number
        cdef list patient_names = names[0], type_names = names[1]
        cdef size_t patient_count = len(patient_names), type_count = len(type_names)
        if not len(times) == 8 * rows == len(values) // 2 == 2 * len(patients) == 2 * len(types):
            raise ValueError("the columns are not of one length")
        # The numbers here, and 1, by those there; 0 while unknown.
        cdef bytearray known_patients = bytearray(4 * patient_count), known_types = bytearray(4 * type_count)
        cdef uint32_t *patient_here = <uint32_t *><char *>known_patients
        cdef uint32_t *type_here = <uint32_t *><char *>known_types
        self._check()
        for row in range(rows):
            if place[row] == ROWLESS:
                continue
            if patient[row] >= patient_count or event_type[row] >= type_count:
                raise ValueError("a row has a number that names nothing")
            if patient_here[patient[row]] == 0:
                number = _intern(&self.state, &self.state.patients, patient_names[patient[row]].encode())
                patient_here[patient[row]] = <uint32_t>number + 1
            if type_here[event_type[row]] == 0:
                number = _intern(&self.state, &self.state.types, type_names[event_type[row]].encode())
                type_here[event_type[row]] = <uint32_t>number + 1
            number = intern_group(&self.state, patient_here[patient[row]] - 1, type_here[event_type[row]] - 1)
            if number < 0:
                raise MemoryError
            self._add(number, at_us[row], <wide>(<wide_size>words[2 * row + 1] << 64 | words[2 * row]))

    cdef int _add(self, int64_t number, int64_t at_us, wide value) except -1:
        """Add a value to a group."""
        cdef int64_t narrow
        cdef int result
        if narrow_of(value, &narrow):
            add_value(&self.state, number, at_us, narrow)
            result = add_further(&self.state, number, at_us, narrow) if self.state.families else 0
        else:
            result = add_wide_value(&self.state, number, at_us, value)
        if result < 0:
            raise MemoryError
        return 0

    cdef int64_t _group(self, str patient, str event_type) except -1:
        """Return the number of a group, new or known. No Python runs from the check on."""
        cdef int64_t patient_number, type_number, number
        cdef bytes patient_id = patient.encode(), type_id = event_type.encode()
        self._check()
        patient_number = _intern(&self.state, &self.state.patients, patient_id)
        type_number = _intern(&self.state, &self.state.types, type_id)
        number = intern_group(&self.state, <uint32_t>patient_number, <uint32_t>type_number)
        if number < 0:
            raise MemoryError
        return number

    cdef int _check(self) except -1:
        if self.busy:
            raise RuntimeError("the state is in use by another thread")
        return 0

    cdef int _begin(self) except -1:
        """Take the state, to be let go of by `busy = False`; refused while somebody else has it."""
        self._check()
        self.busy = True
        return 0


cdef int64_t _intern(summary_state *state, id_table *table, bytes text) except -1:
    """Return the number of an id that comes from Python; ValueError if it is none."""
    cdef uint8_t padded[MAX_ID_BYTES + PADDING]
    cdef size_t length = len(text)
    cdef uint64_t low = 0, high = 0
    cdef int64_t number
    cdef int plain
    if length == 0 or length > MAX_ID_BYTES:
        raise ValueError(f"an id has 1 to {MAX_ID_BYTES} bytes, and here are {length}")
    memset(padded, 0, sizeof(padded))
    memcpy(padded, <const char *>text, length)
    plain = is_plain_id(padded, length)
    id_words(padded, <uint32_t>length, &low, &high)
    if state != NULL and table == &state.types:
        number = intern_type(state, low, high, <uint32_t>length, padded, plain)
    elif state != NULL and table == &state.patients:
        number = intern_patient(state, low, high, <uint32_t>length, padded, plain)
    else:
        number = add_id(table, low, high, <uint32_t>length, padded, plain)
    if number == NO_ID:
        raise ValueError("the kernel takes no such id")
    if number < 0:
        raise MemoryError
    return number


cdef str _text(id_table *table, uint32_t number):
    return PyBytes_FromStringAndSize(<const char *>id_bytes(table, number), id_length(&table.records[number])).decode()


_WORD = 0xFFFFFFFFFFFFFFFF
_SCALE = 10**18  # model.VALUE_SCALE
_END = 2**126  # native/wide.h has it, too
cdef enum:
    ROWLESS = 0xFFFF  # formats.resources has it, too


cdef object _integer(wide number):
    cdef int64_t low = <int64_t>number
    if number == low:
        return low
    return (<object>(<int64_t>(<wide_size>number >> 64)) << 64) | <object>(<uint64_t>number)


cdef wide _wide(number) except? -1:
    """Return an integer of Python's; OverflowError if it takes more than 128 bits."""
    whole = index(number)
    cdef int64_t high = whole >> 64
    cdef uint64_t low = whole & _WORD
    return <wide>(<wide_size>(<uint64_t>high) << 64 | low)


cdef object _big_integer(const big *number):
    cdef int word = 5
    cdef uint64_t sign = <uint64_t>(<int64_t>number.words[5] >> 63)
    while word > 0 and number.words[word] == sign and (number.words[word - 1] >> 63) == (sign & 1):
        word -= 1
    found = <object>(<int64_t>number.words[word])
    while word > 0:
        word -= 1
        found = (found << 64) | <object>number.words[word]
    return found


cdef object _narrow_total(const group *at):
    return (<object>(<int64_t>at.total_high) << 64) | <object>at.total_low


cdef tuple _numbers(const group *at):
    """Return the numbers of a dumped row, but for families."""
    cdef big total = total_of(at)
    return (
        at.count, _big_integer(&total), _integer(low_of(at)), _integer(high_of(at)), at.anomalies, at.first_us,
        at.last_us,
    )


cdef class Groups:
    """The groups of a `Summary`'s state, in the order of their ids: a copy, as a dump has them (reducers.packing)."""

    cdef bytes data
    cdef readonly list patients
    cdef list types
    cdef size_t count
    cdef const uint8_t *type_places
    cdef const uint8_t *columns
    cdef uint32_t *ends  # by place of the patient: where the groups of the patients before it end

    def __cinit__(self, State state not None):
        # Nothing but a dump: its sizes and places are right.
        self.data = state.dump()
        cdef const uint8_t *at = <const uint8_t *><const char *>self.data
        cdef size_t patients = load64(at), types = load64(at + 8), number
        self.count = load64(at + 16)
        self.patients, self.types = [], []
        at = _take_ids(at + 24, patients, self.patients)
        at = _take_ids(at, types, self.types)
        self.ends = <uint32_t *>calloc(patients + 1, sizeof(uint32_t))
        if self.ends == NULL:
            raise MemoryError
        for number in range(self.count):
            self.ends[load32(at + 4 * number) + 1] = <uint32_t>number + 1
        self.type_places = at + 4 * self.count
        self.columns = at + 8 * self.count

    def __dealloc__(self):
        free(self.ends)

    cdef uint64_t _word(self, size_t column, size_t number) noexcept:
        return load64(self.columns + 8 * (column * self.count + number))

    cdef wide _value(self, size_t column, size_t number) noexcept:
        return <wide>(<wide_size>self._word(column + 1, number) << 64 | self._word(column, number))

    cdef big _total(self, size_t number) noexcept:
        cdef big total
        cdef int word
        for word in range(6):
            total.words[word] = self._word(1 + min(word, 2), number)
            if word > 2:
                total.words[word] = <uint64_t>(<int64_t>total.words[2] >> 63)
        return total

    def of(self, uint32_t patient):
        """Return the groups of a patient, by place: event type, and the numbers of a dumped row."""
        cdef size_t number
        cdef big total
        if patient >= len(self.patients):
            raise IndexError(patient)
        found = []
        for number in range(self.ends[patient], self.ends[patient + 1]):
            total = self._total(number)
            found.append((
                self.types[load32(self.type_places + 4 * number)], self._word(0, number), _big_integer(&total),
                _integer(self._value(4, number)), _integer(self._value(6, number)), self._word(8, number),
                <int64_t>self._word(9, number), <int64_t>self._word(10, number),
            ))
        return found

    def json(self, uint32_t start, uint32_t end, str margin not None):
        """Return the lines of patients, by place from `start` to before `end`, as report.json writes them."""
        cdef byte_buffer out
        cdef uint32_t patient
        cdef size_t number
        cdef bytes edge = b"\n" + margin.encode(), inner = edge + b"        "
        cdef list keys = [edge + b"      " + _key(name) + b": {" + inner for name in self.types]
        cdef bytes count = b"," + inner + b'"count": ', latency = b"," + inner + b'"latency": '
        cdef bytes high = b"," + inner + b'"max": ', mean = b"," + inner + b'"mean": ', low = b"," + inner + b'"min": '
        cdef bytes begin = edge + b"    ", group_end = edge + b"      }", end_of = edge + b"    }"
        if end > len(self.patients):
            raise IndexError(end)
        memset(&out, 0, sizeof(byte_buffer))
        try:
            for patient in range(start, end):
                _put(&out, begin if patient == start else b"," + begin)
                _put(&out, _key(self.patients[patient]) + b": {")
                for number in range(self.ends[patient], self.ends[patient + 1]):
                    if number > self.ends[patient]:
                        _put(&out, b",")
                    _put(&out, <bytes>keys[load32(self.type_places + 4 * number)])
                    _put(&out, b'"anomalies": ')
                    _put_integer(&out, <int64_t>self._word(8, number))
                    _put(&out, count)
                    _put_integer(&out, <int64_t>self._word(0, number))
                    _put(&out, latency)
                    self._put_latency(&out, number)
                    _put(&out, high)
                    _put_value(&out, self._value(6, number))
                    _put(&out, mean)
                    self._put_mean(&out, number)
                    _put(&out, low)
                    _put_value(&out, self._value(4, number))
                    _put(&out, group_end)
                _put(&out, end_of)
            return PyBytes_FromStringAndSize(<const char *>out.bytes, <Py_ssize_t>out.used).decode()
        finally:
            free(out.bytes)

    cdef int _put_latency(self, byte_buffer *out, size_t number) except -1:
        cdef int64_t first = <int64_t>self._word(9, number), last = <int64_t>self._word(10, number)
        cdef uint64_t gaps = self._word(0, number) - 1
        cdef double latency
        if gaps == 0:
            return _put(out, b"null")
        if latency_of(first, last, gaps, &latency):
            return _put_fraction(out, latency)
        return _put_fraction(out, (<object>last - <object>first) / (1_000_000 * <object>gaps))

    cdef int _put_mean(self, byte_buffer *out, size_t number) except -1:
        cdef big total = self._total(number)
        cdef double mean
        if mean_of(total, self._word(0, number), &mean):
            return _put_fraction(out, mean)
        return _put_fraction(out, _big_integer(&total) / (<object>self._word(0, number) * _SCALE))


cdef const uint8_t *_take_ids(const uint8_t *at, size_t count, list into):
    """Append ids, their lengths before them, to a list; return what is behind them."""
    cdef const uint8_t *text = at + 2 * count
    cdef size_t number, length
    for number in range(count):
        length = at[2 * number] | <size_t>at[2 * number + 1] << 8
        into.append(PyBytes_FromStringAndSize(<const char *>text, <Py_ssize_t>length).decode())
        text += length
    return text


cdef bytes _key(str name):
    return encode_basestring_ascii(name).encode()


cdef int _put(byte_buffer *out, bytes text) except -1:
    cdef size_t size = len(text)
    cdef uint8_t *into = put_bytes(out, size)
    if into == NULL:
        raise MemoryError
    memcpy(into, <const char *>text, size)
    return 0


cdef int _put_integer(byte_buffer *out, int64_t number) except -1:
    cdef uint64_t rest = 0 - <uint64_t>number if number < 0 else <uint64_t>number
    cdef uint8_t[20] digits
    cdef size_t at = 20
    while True:
        at -= 1
        digits[at] = <uint8_t>(48 + rest % 10)
        rest //= 10
        if rest == 0:
            break
    if number < 0:
        at -= 1
        digits[at] = 45
    cdef uint8_t *into = put_bytes(out, 20 - at)
    if into == NULL:
        raise MemoryError
    memcpy(into, &digits[at], 20 - at)
    return 0


cdef int _put_fraction(byte_buffer *out, double value) except -1:
    cdef char *text = PyOS_double_to_string(value, 114, 0, Py_DTSF_ADD_DOT_0, NULL)  # 114 is r, for repr
    cdef size_t size
    cdef uint8_t *into
    if text == NULL:
        raise MemoryError
    size = strlen(text)
    into = put_bytes(out, size)
    if into != NULL:
        memcpy(into, text, size)
    PyMem_Free(text)
    if into == NULL:
        raise MemoryError
    return 0


cdef int _put_value(byte_buffer *out, wide value) except -1:
    """Put a value as reducers.summary.number returns it."""
    cdef int64_t whole
    cdef double fraction
    cdef int kind = figure_of(value, &whole, &fraction)
    if kind == 1:
        return _put_integer(out, whole)
    if kind == 2:
        return _put_fraction(out, fraction)
    scaled = _integer(value)
    found, rest = divmod(scaled, _SCALE)
    return _put_fraction(out, scaled / _SCALE) if rest else _put(out, str(found).encode())


def integers(bytes numbers not None):
    """Return 128-bit integers, given as their bytes, as a list."""
    cdef const uint8_t *at = <const uint8_t *><const char *>numbers
    cdef Py_ssize_t count = len(numbers) // 16, number, earlier
    cdef Py_ssize_t[1024] places  # where a number like this one has been before, perhaps: devices have few
    cdef wide value
    cdef unsigned slot
    cdef list found = [None] * count
    memset(places, 0, sizeof(places))
    for number in range(count):
        memcpy(&value, at + 16 * number, 16)
        slot = <unsigned>(<uint64_t>(<uint64_t>value * <uint64_t>0x9E3779B97F4A7C15) >> 54)
        earlier = places[slot]
        if earlier < number and memcmp(at + 16 * earlier, &value, 16) == 0:
            found[number] = found[earlier]
        else:
            found[number] = _integer(value)
            places[slot] = number
    return found


cdef int _sum_by_type(const summary_state *state, group *sums, group *waits, family_group *further) noexcept nogil:
    """Put the groups of each event type together; in `waits` their number and the sum of last − first."""
    cdef uint32_t number
    cdef const group *at
    for number in range(state.types.count):
        sums[number].low = sums[number].first_us = INT64_MAX
        sums[number].high = sums[number].last_us = INT64_MIN
    for number in range(state.count):
        at = &state.groups[number]
        if at.count == 0:
            continue
        if add_group(&sums[at.type], at) < 0:
            return -1
        waits[at.type].count += 1
        add_total(&waits[at.type], <uint64_t>at.last_us - <uint64_t>at.first_us, 0)
        if state.families and merge_families(
            &further[at.type], sums[at.type].apart, &state.family_groups[number], at.apart
        ) < 0:
            return -1
    return 0


cdef list _further(const group *at, const family_group *of, unsigned families):
    """Return what is kept of a group beside Summary's numbers, as the reference's families write it."""
    cdef big squares
    found = []
    if families & FAMILY_SQUARES:
        squares = squares_of(at, of)
        found.append(_big_integer(&squares))
    if families & FAMILY_VALUES:
        found.append(_counts(&of.values, at.apart, True))
    if families & FAMILY_HOURS:
        found.append(_counts(&of.hours, NULL, False))
    if families & FAMILY_DAYS:
        found.append(_counts(&of.days, NULL, False))
    if families & FAMILY_COURSE:
        found.append(_counts(&of.course, NULL, False))
    return found


cdef list _counts(const counter *of, const wide_part *apart, bint of_values):
    cdef wide_counted *entries = sorted_counts(of, apart, of_values)
    cdef size_t number
    if entries == NULL:
        raise MemoryError
    found = [<object>of.over]
    for number in range(of.used + wide_values(apart)):
        found.append(_integer(entries[number].key))
        found.append(entries[number].count)
    free(entries)
    return found


cdef class Offsets:
    """How far ahead of UTC local times are: (from this local time on, µs ahead; None where only the reference knows).

    Times are local µs since 1970, rising, and begin with a minute; before the first, nothing is known.
    """

    cdef offset_span *spans
    cdef uint32_t count

    def __cinit__(self, spans):
        cdef list copied = list(spans)
        self.spans = <offset_span *>calloc(len(copied) + 1, sizeof(offset_span))
        if self.spans == NULL:
            raise MemoryError
        for from_us, ahead_us in copied:
            self.spans[self.count].from_us = from_us
            self.spans[self.count].ahead_us = INT64_MIN if ahead_us is None else ahead_us
            self.count += 1

    def __dealloc__(self):
        free(self.spans)


cdef class RowFilter:
    """The rows that are asked for (filters.Filter): µs from `since` on, before `until`; ids as bytes, None for all."""

    cdef row_filter filter

    def __cinit__(self, since, until, patients, types):
        # Times of rows are far from either end.
        low = INT64_MIN if since is None else max(INT64_MIN, min(since, INT64_MAX))
        high = INT64_MAX if until is None else max(low, min(until, INT64_MAX))
        self.filter.since = low & 0xFFFFFFFFFFFFFFFF
        self.filter.width = high - low
        self.filter.by_patient = patients is not None
        self.filter.by_type = types is not None
        for text in patients or ():
            _intern(NULL, &self.filter.patients, text)
        for text in types or ():
            _intern(NULL, &self.filter.types, text)

    def __dealloc__(self):
        free_ids(&self.filter.patients)
        free_ids(&self.filter.types)


cdef int _copy(bytes text, token *into) except -1:
    """Copy a text, as bytes, into a token."""
    cdef uint8_t *copied = <uint8_t *>malloc(<size_t>len(text) + 1)
    if copied == NULL:
        raise MemoryError
    memcpy(copied, <const char *>text, len(text))
    into.bytes = copied
    into.length = <uint32_t>len(text)
    return 0


cdef uint16_t _sign(bytes text) except? 0:
    """Return the byte of a sign; that of none if there is none."""
    if len(text) > 1 or not text.isascii() or text in (b"\r", b"\n", b"\0"):
        raise ValueError("no such sign")
    return text[0] if text else NO_SIGN


cdef class Plan:
    """How the rows of a described table are read, compiled (see engine.plan, which makes them). It is one scan's.

    Parts of a row are tuples of numbers of `places`, the columns that are looked at, or constants, as bytes. `values`
    are (part, type), the type None where a part says it; `conditions` (number, texts of which one must be there, or
    None, texts of which none may); `formats` as in `_take_formats`; `words` (text, its number, None for no value).

    Raises:
        ValueError: what no row can be read by.
    """

    cdef plan plan

    def __cinit__(self, *, uint32_t width, places, patient_id, event_time, event_type, unit, values, conditions, formats,
                  bint dates_noted, bytes decimal not None, groups, words, str censored not None, bint text_is_missing,
                  bint is_sampled, bint knows_none):
        cdef list copied = list(places)
        cdef uint32_t *numbers = <uint32_t *>self._room(len(copied), sizeof(uint32_t))
        if not copied or copied != sorted(set(copied)) or copied[-1] >= width:
            raise ValueError("no such columns")
        for place in copied:
            numbers[self.plan.field_count] = place
            self.plan.field_count += 1
        self.plan.width = width
        self.plan.places = numbers
        self.plan.knows_none = knows_none
        self.plan.is_sampled = is_sampled and not knows_none
        self._take_part(patient_id, &self.plan.patient)
        self._take_part(event_time, &self.plan.time)
        if event_type is not None:
            self._take_part(event_type, &self.plan.type)
        if unit is not None:
            self._take_part(unit, &self.plan.unit)
        self.plan.has_unit = unit is not None
        self._take_values(list(values), event_type is None)
        self._take_conditions(list(conditions))
        self._take_formats(list(formats))
        self.plan.dates_noted = dates_noted
        self.plan.decimal = decimal[0]
        self.plan.groups = self._texts(list(groups))
        self.plan.group_count = <uint32_t>len(groups)
        self._take_words(list(words))
        self.plan.censored = {"leave-out": CENSORED_LEFT_OUT, "bound": CENSORED_BOUND, "bad": CENSORED_BAD}[censored]
        self.plan.text_is_missing = text_is_missing
        if begin_plan(&self.plan) < 0:
            raise MemoryError

    def __dealloc__(self):
        free_plan(&self.plan)

    cdef void *_room(self, size_t count, size_t size) except NULL:
        cdef void *found = plan_room(&self.plan, count, size)
        if found == NULL:
            raise MemoryError
        return found

    cdef int _take_text(self, bytes given, text *into) except -1:
        """Copy a text; what is behind it may be read, too."""
        cdef uint8_t *copied = <uint8_t *>self._room(len(given), 1)
        memcpy(copied, <const char *>given, len(given))
        into.at = copied
        into.length = <uint32_t>len(given)
        return 0

    cdef text *_texts(self, list given) except NULL:
        cdef text *texts = <text *>self._room(len(given), sizeof(text))
        for number, one in enumerate(given):
            self._take_text(one, &texts[<size_t>number])
        return texts

    cdef int _take_part(self, given, plan_part *into) except -1:
        cdef uint32_t *fields
        if isinstance(given, bytes):
            return self._take_text(given, &into.constant)
        fields = <uint32_t *>self._room(len(given), sizeof(uint32_t))
        for number in given:
            if number >= self.plan.field_count:
                raise ValueError("no such column")
            fields[into.count] = number
            into.count += 1
        if into.count == 0:
            raise ValueError("a part of no columns")
        into.fields = fields
        return 0

    cdef int _take_values(self, list given, bint is_wide) except -1:
        cdef plan_value *values = <plan_value *>self._room(len(given), sizeof(plan_value))
        cdef bytes event_type
        for part, named in given:
            self._take_part(part, &values[self.plan.value_count].source)
            if is_wide:
                event_type = named
                self._take_text(event_type, &values[self.plan.value_count].type)
                if not is_plain_id(values[self.plan.value_count].type.at, len(event_type)):
                    self.plan.knows_none = True
                if not 0 < len(event_type) <= MAX_ID_BYTES:
                    raise ValueError("a type is no id")
            self.plan.value_count += 1
        if not given or (not is_wide and len(given) != 1):
            raise ValueError("a table has one column of values, or types")
        self.plan.is_wide = is_wide
        self.plan.values = values
        return 0

    cdef int _take_conditions(self, list given) except -1:
        cdef plan_condition *conditions = <plan_condition *>self._room(len(given), sizeof(plan_condition))
        cdef plan_condition *at
        for number, any_of, none_of in given:
            at = &conditions[self.plan.condition_count]
            if number >= self.plan.field_count:
                raise ValueError("no such column")
            at.field = number
            at.has_any = any_of is not None
            at.texts = self._texts([*(any_of or ()), *none_of])
            at.any_count = <uint32_t>len(any_of or ())
            at.count = at.any_count + <uint32_t>len(none_of)
            self.plan.condition_count += 1
        self.plan.conditions = conditions
        return 0

    cdef int _take_formats(self, list given) except -1:
        """Take the formats of times: None (ISO), (steps as pairs of bytes, is certain), (unit, origin, is a clock)."""
        cdef time_format *formats = <time_format *>self._room(len(given), sizeof(time_format))
        cdef time_format *at
        cdef time_step *steps
        cdef bytes written
        for one in given:
            at = &formats[self.plan.times.format_count]
            if one is None:
                at.kind = TIME_ISO
            elif len(one) == 2:
                at.kind = TIME_PATTERN
                written, at.is_certain = one
                steps = <time_step *>self._room(len(written) // 2, sizeof(time_step))
                memcpy(steps, <const char *>written, len(written) // 2 * sizeof(time_step))
                at.steps = steps
                at.step_count = <uint32_t>(len(written) // 2)
                begin_fixed(at)
            else:
                at.kind = TIME_NUMBER
                at.unit_us, at.origin_us, at.is_clock = one
                if not 0 < at.unit_us <= 86_400_000_000:
                    raise ValueError("no such unit of time")
            self.plan.times.format_count += 1
        self.plan.times.alone = given == [None]
        self.plan.times.formats = formats
        return 0

    cdef int _take_words(self, list given) except -1:
        cdef plan_word *words = <plan_word *>self._room(len(given), sizeof(plan_word))
        cdef plan_word *at
        for spelled, number in given:
            at = &words[self.plan.word_count]
            self._take_text(spelled, &at.spelled)
            at.value = INT64_MIN  # NOT_PLAIN
            if number is not None:
                at.apart = _wide(number)
                if not narrow_of(at.apart, &at.value):
                    at.value = INT64_MIN + 1  # WIDE
            self.plan.word_count += 1
        self.plan.words = words
        return 0


cdef class Scan:
    """Takes chunks of one layout into a State, and counts what a tally needs.

    `plain` are the places of the four columns, from 0, where nothing else needs to be known of a table; else there is a
    `plan`. `fields` is the number of columns. `signs` are what separates fields, what encloses them, what makes the next
    character one like others, and what begins a line to be left out, each of one byte or none. `null_tokens` are the
    texts, as bytes, that mean "no value", and `null_numbers` those that stand for a number; `names` are those of the
    columns that have a role, None for one that cannot be looked for. `offsets` are those of times without one, UTC by
    default; `asked` are the rows that are asked for, all by default. `covered` counts rows by hour, too.
    """

    cdef row_scan *scan
    cdef readonly State state
    cdef Offsets offsets
    cdef RowFilter asked
    cdef Plan plan

    def __cinit__(self, State state not None, plain, uint32_t fields, signs, null_tokens, null_numbers, names,
                  Offsets offsets=None, RowFilter asked=None, bint covered=False, Plan plan=None):
        cdef uint8_t padded[64 + PADDING]
        cdef list tokens = list(null_tokens), numbers = list(null_numbers), named = list(names)
        cdef bytes text, delimiter, quote, escape, comment
        cdef null_number number
        delimiter, quote, escape, comment = signs
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in b'"\r\n\0':
            raise ValueError("no such delimiter")
        if plain is not None and len(set(plain)) != 4:
            raise ValueError("the columns are not four")
        if plain is not None and max(plain) >= fields:
            raise ValueError("no such layout")
        if plain is None and plan is None:
            raise ValueError("nothing tells how rows are read")
        self.state = state
        self.scan = <row_scan *>calloc(1, sizeof(row_scan))
        if self.scan == NULL:
            raise MemoryError
        if plain is not None:
            self.scan.patient, self.scan.time, self.scan.type, self.scan.value = plain
        self.scan.fields = fields
        self.scan.signs.delimiter = delimiter[0]
        self.scan.signs.quote = _sign(quote)
        self.scan.signs.escape = _sign(escape)
        self.scan.signs.comment = _sign(comment)
        if plan is not None:
            self.use(plan)
        self.scan.by_plan = self.scan.only_plan = plain is None
        self.scan.first_us = INT64_MAX
        self.scan.last_us = INT64_MIN
        # The minute remembered must be one: this is that of 1970.
        minute = b"1970-01-01T00:00"
        self.scan.times.low = load64(<const char *>minute)
        self.scan.times.high = load64(<const char *>minute + 8)
        self.scan.times.minute_us = 0
        self.offsets = offsets
        if offsets is not None:
            self.scan.times.spans = offsets.spans
            self.scan.times.span_count = offsets.count
            self.scan.times.ahead_us = ahead_at(&self.scan.times, 0)
        self.asked = asked
        if asked is not None:
            self.scan.filter = &asked.filter
        if covered:
            self.scan.covered = <coverage *>calloc(1, sizeof(coverage))
            if self.scan.covered == NULL:
                raise MemoryError
        self.scan.null_tokens = <token *>calloc(len(tokens) + 1, sizeof(token))
        self.scan.names = <token *>calloc(len(named) + 1, sizeof(token))
        self.scan.null_numbers = <null_number *>calloc(len(numbers) + 1, sizeof(null_number))
        if self.scan.null_tokens == NULL or self.scan.names == NULL or self.scan.null_numbers == NULL:
            raise MemoryError
        for text in tokens:
            _copy(text, &self.scan.null_tokens[self.scan.null_count])
            self.scan.null_count += 1
        for name in named:
            if name is None or len(name) == 0:
                self.scan.any_name = True
                continue
            _copy(name, &self.scan.names[self.scan.name_count])
            self.scan.name_count += 1
        for text in numbers:
            memset(padded, 0, sizeof(padded))
            if 0 < len(text) <= 64:
                memcpy(padded, <const char *>text, len(text))
                number.value = read_value(padded, <uint32_t>len(text), &number.apart)
                if number.value != INT64_MIN:
                    self.scan.null_numbers[self.scan.null_number_count] = number
                    self.scan.null_number_count += 1

    def __dealloc__(self):
        if self.scan != NULL:
            free_scan(self.scan)
            free(self.scan)

    def use(self, Plan plan not None):
        """Read rows by a plan of the same table where many are not plain."""
        self.state._begin()
        self.plan = plan
        self.scan.plan = &plan.plan
        self.state.busy = False

    @property
    def samples(self):
        """How many rows were taken since `start_samples`; None where times do not follow from the rows' places."""
        return self.scan.plan.clock.count if self.scan.plan != NULL and self.scan.plan.is_sampled else None

    def start_samples(self, next_us, step_us, uint64_t rest, uint64_t step_rest, uint64_t rate):
        """Say what the time of the next row is, how much later that of one behind it, in µs and parts of `rate`."""
        if not self.plan or not max(rest, step_rest) < rate < 2**62 or not 0 <= step_us < 2**50 or abs(next_us) > 2**61:
            raise ValueError("no such times")
        self.state._begin()
        self.scan.plan.clock = sample_clock(next_us, step_us, rest, step_rest, rate, 0)
        self.state.busy = False

    @property
    def wants_plan(self):
        """Whether many rows of the last chunk were not plain, and there is no plan yet."""
        return self.scan.by_plan and self.scan.plan == NULL

    def feed(self, data, size_t start, line):
        """Take in the whole rows of `data` from byte `start` on, the first of which is line number `line`.

        Returns the rows that the reference must judge, in order, as (line number, bytes without the line end).
        """
        cdef Py_buffer view
        cdef int result
        cdef const uint8_t *at
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if start > <size_t>view.len:
                raise ValueError("start is beyond the data")
            at = <const uint8_t *>view.buf + start
            self._begin()
            try:
                with nogil:
                    result = scan_chunk(self.scan, &self.state.state, at, <size_t>view.len - start)
                if result < 0:
                    raise MemoryError
                return self._aside(at, line)
            finally:
                self.state.busy = False
        finally:
            PyBuffer_Release(&view)

    cdef int _begin(self) except -1:
        """Take state and counts for a chunk, which is refused while another thread is at one."""
        return self.state._begin()

    cdef list _aside(self, const uint8_t *at, line):
        """Return the rows of the chunk at hand that were set aside, in order. The state is still taken."""
        cdef size_t number
        cdef aside_row *row
        aside = []
        for number in range(self.scan.aside_count):
            row = &self.scan.aside[number]
            aside.append((
                line + row.line,
                PyBytes_FromStringAndSize(<const char *>at + row.start, <Py_ssize_t>(row.end - row.start)),
            ))
        # Ids are looked at later than the rest of a row, so rows may be out of order.
        aside.sort()
        return aside

    @property
    def stopped_at(self):
        """Where in the last chunk the scan has stopped, behind a row that may be a header, or for a plan; None if nowhere."""
        return self.scan.stopped_at if self.scan.stopped and not self.scan.is_open else None

    @property
    def open_at(self):
        """Where in the last chunk a row begins that may go on in the next one; None if there is none."""
        return self.scan.stopped_at if self.scan.is_open else None

    @property
    def lines(self):
        """How many lines the last chunk had, blank ones and a last one without its end included."""
        return self.scan.lines

    @property
    def rows(self):
        """How many rows were taken, those without a value included."""
        return self.scan.rows

    @property
    def filtered(self):
        """How many rows with a value were taken that are not asked for."""
        return self.scan.filtered

    def noted(self):
        """Return what was noted of the rows: how many dates alone, values left out, bounds, texts."""
        return tuple([self.scan.noted[kind] for kind in (NOTE_DATES, NOTE_CENSORED, NOTE_BOUND, NOTE_TEXT)])

    @property
    def first_us(self):
        """The earliest time, or None."""
        return self.scan.first_us if self.scan.first_us <= self.scan.last_us else None

    @property
    def last_us(self):
        """The latest time, or None."""
        return self.scan.last_us if self.scan.first_us <= self.scan.last_us else None

    def covered(self):
        """Return the rows by time as (hours in a bucket, {hours since 1970: rows}); None where they are not counted."""
        cdef coverage *covered = self.scan.covered
        cdef uint32_t at
        if covered == NULL:
            return None
        self.state._begin()
        try:
            width = 1 << covered.shift
            return width, {covered.buckets[at].number * width: covered.buckets[at].rows for at in range(covered.count)}
        finally:
            self.state.busy = False

    def missing(self):
        """Return the number of rows without a value by event type, where there are any."""
        cdef uint32_t number
        self.state._begin()
        try:
            return {
                _text(&self.state.state.types, number): self.scan.missing[number]
                for number in range(<uint32_t>self.scan.missing_capacity)
                if self.scan.missing[number]
            }
        finally:
            self.state.busy = False


cdef class ColumnScan(Scan):
    """A Scan that takes rows into columns instead: the numbers of their ids in the State, times and values.

    Columns and counts are those of the last chunk alone.
    """

    def __cinit__(self, *layout):
        self.scan.to_columns = True

    def keep_missing(self):
        """Take rows without a value into the columns too, with batch.NO_VALUE for one."""
        self.scan.keep_missing = True

    cdef int _begin(self) except -1:
        """Take state and counts for the next chunk, in place of the last."""
        Scan._begin(self)
        self.scan.columns.count = 0
        if self.scan.covered != NULL:
            memset(self.scan.covered, 0, sizeof(coverage))
        self.scan.rows = 0
        self.scan.filtered = 0
        memset(self.scan.noted, 0, 8 * sizeof(uint64_t))
        self.scan.first_us = INT64_MAX
        self.scan.last_us = INT64_MIN
        if self.scan.missing_capacity:
            memset(self.scan.missing, 0, self.scan.missing_capacity * sizeof(uint64_t))
        return 0

    def insert(self, line, lines, patients, times, types, values):
        """Put rows that `feed` returned, and the reference found good, where they belong.

        `line` is the number of the chunk's first line; `lines` are those of the rows, ascending.
        """
        cdef list given = [
            (at - line, patient.encode(), time_us, event_type.encode(), value)
            for at, patient, time_us, event_type, value in zip(lines, patients, times, types, values, strict=True)
        ]
        cdef size_t number = 0, aside = 0
        cdef uint64_t wanted
        cdef numbered_row *rows = NULL
        cdef size_t *places = NULL
        self.state._begin()
        try:
            rows = <numbered_row *>calloc(len(given) + 1, sizeof(numbered_row))
            places = <size_t *>calloc(len(given) + 1, sizeof(size_t))
            if rows == NULL or places == NULL:
                raise MemoryError
            for at, patient, time_us, event_type, value in given:
                wanted = at
                while aside < self.scan.aside_count and self.scan.aside[aside].line < wanted:
                    aside += 1
                if aside == self.scan.aside_count or self.scan.aside[aside].line != wanted:
                    raise ValueError("no such row was set aside")
                places[number] = self.scan.aside[aside].place
                rows[number].patient = <uint32_t>_intern(&self.state.state, &self.state.state.patients, patient)
                rows[number].type = <uint32_t>_intern(&self.state.state, &self.state.state.types, event_type)
                rows[number].time_us = time_us
                rows[number].value = _wide(value)
                number += 1
            if insert_rows(&self.scan.columns, rows, places, number) < 0:
                raise MemoryError
            # They are in their places: their next ones would be others.
            self.scan.aside_count = 0
        finally:
            self.state.busy = False
            free(rows)
            free(places)

    def columns(self):
        """Return patients and event types (32-bit numbers), times (64-bit), values (128-bit), as bytes."""
        cdef row_columns *at = &self.scan.columns
        self.state._begin()
        try:
            return (
                PyBytes_FromStringAndSize(<const char *>at.patients, <Py_ssize_t>(at.count * sizeof(uint32_t))),
                PyBytes_FromStringAndSize(<const char *>at.types, <Py_ssize_t>(at.count * sizeof(uint32_t))),
                PyBytes_FromStringAndSize(<const char *>at.times, <Py_ssize_t>(at.count * sizeof(int64_t))),
                PyBytes_FromStringAndSize(<const char *>at.values, <Py_ssize_t>(at.count * sizeof(wide))),
            )
        finally:
            self.state.busy = False


cdef class _Job:
    """What a crew does at one go, and all that must stay as it is until then."""

    cdef crew_job job
    cdef Py_buffer view
    cdef Scan scan
    cdef object line
    cdef object ticket

    def __dealloc__(self):
        PyBuffer_Release(&self.view)  # does nothing where there is none


cdef class Crew:
    """Threads that scan rows and read files, and never take the interpreter's lock.

    `fileno()` is readable when something is done. A scan's state and buffer are held from `scan` until `collect`
    returns it: the state is busy so long, and the buffer must not be written to. A state whose scan nobody collects
    stays busy for ever, as nobody knows what it describes. Not to be used after a fork, but for closing.

    Args:
        threads: how many, at the most: fewer where the system has no room for them, and 64 in any case.
        eventfd: wake through an eventfd where there is one, else through a socket pair.

    Raises:
        OSError: there can be no crew here.
    """

    cdef crew crew
    cdef bint begun
    cdef bint open

    def __cinit__(self, unsigned threads, *, bint eventfd=True):
        cdef int error
        if not threads:
            raise ValueError("a crew has at least one thread")
        error = begin_crew(&self.crew, min(threads, MAX_CREW), eventfd)
        if error:
            raise OSError(error, os.strerror(error))
        self.begun = self.open = True

    def __dealloc__(self):
        cdef crew_job *taken[MAX_JOBS]
        cdef size_t number, count
        if self.begun:
            if self.open:
                with nogil:
                    join_crew(&self.crew)
            count = take_done(&self.crew, taken)
            end_crew(&self.crew)
            for number in range(count):
                Py_DECREF(<_Job>taken[number].owner)

    @property
    def threads(self):
        """How many threads there are."""
        return self.crew.threads

    @property
    def pending(self):
        """How many jobs have been queued and not collected."""
        return self.crew.held

    def fileno(self):
        """Return the descriptor to watch for reading; it lives as long as the crew."""
        return self.crew.watched

    def scan(self, Scan scan not None, buffer, size_t start, size_t stop, line, ticket):
        """Queue the scan of the whole rows `buffer[start:stop]`, the first of which is line number `line`.

        Its result is what Scan.feed returns, or the exception that it raises.

        Raises:
            RuntimeError: the state is busy, the crew is closed, or too many jobs have not been collected.
        """
        cdef _Job job = self._hold(buffer, PyBUF_SIMPLE, start, stop, ticket)
        job.scan = scan
        job.line = line
        job.job.kind = JOB_SCAN
        job.job.scan = scan.scan
        job.job.state = &scan.state.state
        job.job.data = <const uint8_t *>job.view.buf + start
        scan._begin()
        try:
            self._queue(job)
        except RuntimeError:
            scan.state.busy = False
            raise

    def read(self, int fd, buffer, size_t start, size_t size, int64_t offset, ticket):
        """Queue a read of `size` bytes at `offset` of a file into `buffer`, from its byte `start` on.

        Its result is the number of bytes, fewer only where the file ends; or an error's number, negative. The
        descriptor must stay open until it is collected.

        Raises:
            RuntimeError: the crew is closed, or too many jobs have not been collected.
        """
        if offset < 0:
            raise ValueError("a file has no such place")
        cdef _Job job = self._hold(buffer, PyBUF_WRITABLE, start, start + size, ticket)
        job.job.kind = JOB_READ
        job.job.fd = fd
        job.job.into = <uint8_t *>job.view.buf + start
        job.job.offset = offset
        self._queue(job)

    def collect(self):
        """Return what is done and was not collected yet, as (ticket, result), in the order in which it was done."""
        cdef crew_job *taken[MAX_JOBS]
        cdef size_t number, count = take_done(&self.crew, taken)
        cdef _Job job
        done = []
        for number in range(count):
            job = <_Job>taken[number].owner
            done.append(job)
            Py_DECREF(job)
        found = []
        try:
            for job in done:
                if job.scan is None:
                    result = job.job.result
                elif job.job.result < 0:
                    result = MemoryError()
                else:
                    result = job.scan._aside(job.job.data, job.line)
                PyBuffer_Release(&job.view)
                found.append((job.ticket, result))
        finally:
            # Whatever fails: a state is busy no longer than its scan.
            for job in done:
                if job.scan is not None:
                    job.scan.state.busy = False
        return found

    def close(self):
        """Have what is queued done, and end the threads. It can still be collected; nothing more is taken."""
        if self.open:
            self.open = False
            with nogil:
                join_crew(&self.crew)

    cdef _Job _hold(self, buffer, int flags, size_t start, size_t stop, ticket):
        """Return a job on a part of a buffer, which is held from now on."""
        cdef _Job job = _Job()
        PyObject_GetBuffer(buffer, &job.view, flags)
        if not start <= stop <= <size_t>job.view.len:
            raise ValueError("the part is beyond the buffer")
        job.job.size = stop - start
        job.job.owner = <void *>job
        job.ticket = ticket
        return job

    cdef int _queue(self, _Job job) except -1:
        if not self.open:
            raise RuntimeError("the crew is closed")
        # Held by hand: the collector of cycles must not take a job's scan or buffer apart while a thread is at it.
        Py_INCREF(job)
        if queue_job(&self.crew, &job.job) < 0:
            Py_DECREF(job)
            raise RuntimeError(f"the crew holds {MAX_JOBS} jobs that nobody has collected")
        return 0


def _prepare():
    drawn = os.urandom(16)
    hash_key[0] = load64(<const char *>drawn)
    hash_key[1] = load64(<const char *>drawn + 8) | 1
    choose_index(NULL)


_prepare()
