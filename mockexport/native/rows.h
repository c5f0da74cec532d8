/* Rows: what becomes of one whose fields have been found, and what a scan keeps of them all.
 *
 * Rules: a row is taken only if it is plainly well formed: every byte of it has been checked when it is. All other rows
 * are set aside by position, for the reference to judge; nothing here ever calls a row bad. No Python, no global state.
 */
#ifndef MOCKEXPORT_ROWS_H
#define MOCKEXPORT_ROWS_H

#include "bounds.h"
#include "columns.h"
#include "coverage.h"
#include "fields.h"
#include "state.h"

/* A block and the positions in it stay in a core's first cache. A longer row is set aside. */
#define BLOCK_BYTES 16384
/* What is left at a chunk's end is copied, so that reading beyond it is allowed; a longer row there is set aside. */
#define TAIL_BYTES 4096
/* A longer row is a bad one (formats.cutting.MAX_ROW_BYTES): a quote that is not closed within it never is. */
#define MAX_ROW_BYTES 65536

typedef struct {
    uint64_t start, end; /* in the chunk, without the line end */
    uint64_t line;       /* from 0 at the chunk's start */
    size_t place;        /* so many rows are in the columns before it */
} aside_row;

typedef struct {
    const uint8_t *bytes;
    uint32_t length;
} token;

/* A number that means "no value", as read_value returns it. */
typedef struct {
    int64_t value;
    wide apart;
} null_number;

/* Which rows are asked for: (time - since), without a sign, is below `width`, and the ids are among these, if so said.
 * Scans share it and do not change it. */
typedef struct {
    uint64_t since, width;
    id_table patients, types;
    int by_patient, by_type;
} row_filter;

typedef struct {
    uint32_t patient, time, type, value, fields; /* the columns' places, and their number */
    row_signs signs;
    token *null_tokens;
    uint32_t null_count;
    null_number *null_numbers; /* those of them that are numbers */
    uint32_t null_number_count;
    time_reading times;
    /* What is asked for, NULL where everything is; and by number of the group: 0 not known yet, 1 no, 2 yes. */
    const row_filter *filter;
    uint8_t *asked;
    size_t asked_capacity;
    /* The tally. */
    uint64_t rows, filtered;
    int64_t first_us, last_us; /* first > last: no row yet */
    uint64_t *missing;         /* by number of the event type */
    size_t missing_capacity;
    coverage *covered; /* NULL where it is not asked for */
    /* The rows set aside in the chunk at hand, and its line ends so far. */
    aside_row *aside;
    size_t aside_count, aside_capacity;
    uint64_t lines;
    uint32_t positions[1 + BLOCK_BYTES + INDEX_SLACK]; /* the first is that of the line end before the block */
    uint8_t unplain[BLOCK_BYTES / 64 + 1];
    uint8_t tail[TAIL_BYTES + 2 * PADDING];
    /* The bytes of the chunk from the block at hand on, its own first; and whether the last has no line end behind it. */
    size_t available;
    int ended;
    /* The names of the columns that have a role: a row that has all of them may be a header, and the scan stops behind
     * it. Without names no row is one; `any_name` if some name cannot be looked for. */
    token *names;
    uint32_t name_count;
    int any_name;
    /* Where the scan has stopped before the chunk's end: behind such a row, or, if `is_open`, before one that may go on
     * in the next chunk. */
    int stopped, is_open;
    uint64_t stopped_at;
    /* Where rows go: to the state's groups, or, numbered as those are, to the chunk's columns. */
    int to_columns;
    int keep_missing; /* rows without a value go there too, with NO_VALUE for one */
    row_columns columns;
    /* How a described table is to be read (described.h), NULL where there is none yet; `by_plan` if that is what reads the
     * next block, and would if it were there; `only_plan` if all others are read so too. What it notes, by kind. */
    struct plan *plan;
    int by_plan, only_plan;
    uint64_t noted[8];
} row_scan;

/* The ids of a row: where they are, and what a look-up compares. Passed by value, so that it lives in registers. */
typedef struct {
    const uint8_t *patient, *type;
    uint64_t patient_low, patient_high, type_low, type_high;
    uint32_t patient_length, type_length;
    uint32_t hash;
    int is_short;
} row_ids;

static __attribute__((noinline)) int set_aside(row_scan *scan, uint64_t start, uint64_t end, uint64_t line) {
    if (reserve((void **)&scan->aside, &scan->aside_capacity, scan->aside_count, 1, sizeof *scan->aside) < 0) {
        return -1;
    }
    scan->aside[scan->aside_count++] = (aside_row){start, end, line, scan->columns.count};
    return 0;
}

typedef struct {
    const uint8_t *at;
    uint32_t length;
} text;

static inline int is_blank(uint8_t byte, uint8_t delimiter) {
    return (byte == ' ' || byte == '\t') && byte != delimiter;
}

/* Whether blanks stand at either end of a field: they are no part of it. */
static inline int has_blank_ends(const uint8_t *at, uint32_t length) {
    const uint8_t first = at[0], last = at[length - 1];
    return length != 0 && (first == ' ' || first == '\t' || last == ' ' || last == '\t');
}

/* Whether a line, from its row's beginning on, may leave a quote open: the number of its quotes is odd, or some may be
 * escaped. */
static inline int may_be_open(const row_scan *scan, const uint8_t *at, const uint8_t *end) {
    const row_signs *signs = &scan->signs;
    int odd = 0, any = 0;
    if (signs->quote == NO_SIGN || (at < end && *at == signs->comment)) {
        return 0;
    }
    while ((at = memchr(at, signs->quote, (size_t)(end - at))) != NULL) {
        odd ^= 1;
        any = 1;
        at++;
    }
    return signs->escape == NO_SIGN ? odd : any;
}

/* Find the quote that closes the one before `at`; a doubled one is data, and an escaped byte. `limit` if there is none. */
static uint64_t find_closing(const row_signs *signs, const uint8_t *data, uint64_t at, uint64_t limit) {
    while (at < limit) {
        if (signs->escape == NO_SIGN) {
            const uint8_t *quote = memchr(data + at, signs->quote, limit - at);
            if (quote == NULL) {
                return limit;
            }
            at = (uint64_t)(quote - data);
        }
        if (data[at] == signs->quote) {
            if (at + 1 >= limit || data[at + 1] != signs->quote) {
                return at;
            }
            at += 2;
        } else {
            at += data[at] == signs->escape ? 2 : 1;
        }
    }
    return limit;
}

/* Find the end of a row that begins at `start` of a block and whose first line, which ends at `first`, may leave a quote
 * open: where its line end is, or the chunk's end is, or `first` if its quotes make no sense; UINT64_MAX if the row may go
 * on in the next chunk. As formats/quoting.py has it. */
static __attribute__((noinline)) uint64_t find_row_end(const row_scan *scan, const uint8_t *data, uint64_t start,
                                                       uint64_t first) {
    const row_signs *signs = &scan->signs;
    const uint8_t delimiter = signs->delimiter;
    const uint64_t longest = start + MAX_ROW_BYTES + 1, size = scan->available;
    const uint64_t limit = longest < size ? longest : size;
    const int at_end = limit == size && limit <= start + MAX_ROW_BYTES;
    uint64_t at = start;
    for (;;) {
        while (at < limit && is_blank(data[at], delimiter)) {
            at++;
        }
        if (at < limit && data[at] == signs->quote) {
            at = find_closing(signs, data, at + 1, limit);
            if (at >= limit) {
                return at_end && !scan->ended ? UINT64_MAX : first;
            }
            for (at++; at < limit && is_blank(data[at], delimiter); at++) {
            }
            if (at < limit && data[at] == '\r' &&
                (at + 1 < limit ? data[at + 1] == '\n' : at_end && scan->ended)) {
                at++;
            }
        } else {
            while (at < limit && data[at] != delimiter && data[at] != signs->quote && data[at] != '\n') {
                if (data[at] == signs->escape && (at + 1 >= limit || data[++at] == '\n')) {
                    return first;
                }
                at++;
            }
        }
        if (at >= limit) {
            return at_end && scan->ended ? limit : at_end ? UINT64_MAX : first;
        }
        if (data[at] == '\n') {
            return at;
        }
        if (data[at] != delimiter) {
            return first;
        }
        at++;
    }
}

/* Find the end of any row that begins at `start` of a block, and whose first line ends in its chunk: as find_row_end. */
static inline uint64_t find_row_end_of(const row_scan *scan, const uint8_t *data, uint64_t start) {
    const uint8_t *line_end = memchr(data + start, '\n', scan->available - start);
    const uint64_t first = line_end == NULL ? scan->available : (uint64_t)(line_end - data);
    return may_be_open(scan, data + start, data + first) ? find_row_end(scan, data, start, first) : first;
}

/* Find the four columns of a row, in the order patient, time, type, value, when fields are quoted: 1, or 0 where that is
 * not plain. It is if the row is ASCII without NUL and every quote is the first or last byte of its field. */
static __attribute__((noinline)) int split_quoted(const row_scan *scan, const uint8_t *at, const uint8_t *end,
                                                  text *columns) {
    const uint8_t delimiter = scan->signs.delimiter;
    for (uint32_t number = 0; number < scan->fields; number++) {
        const int quoted = at < end && *at == '"';
        const uint8_t until = quoted ? '"' : delimiter, *begin = at += quoted;
        for (; at < end && *at != until; at++) {
            if (*at == 0 || *at >= 0x80 || *at == '"') {
                return 0;
            }
        }
        text field = {begin, (uint32_t)(at - begin)};
        if (quoted && (at++ == end || (at < end && *at != delimiter))) {
            return 0;
        }
        if (number == scan->patient) {
            columns[0] = field;
        } else if (number == scan->time) {
            columns[1] = field;
        } else if (number == scan->type) {
            columns[2] = field;
        } else if (number == scan->value) {
            columns[3] = field;
        }
        if (at == end) {
            return number + 1 == scan->fields;
        }
        at++;
    }
    return 0;
}

/* Whether a row that is set aside may name the columns again. */
static __attribute__((noinline)) int may_be_header(const row_scan *scan, const uint8_t *at, size_t length) {
    for (uint32_t i = 0; i < scan->name_count; i++) {
        const token *name = &scan->names[i];
        const uint8_t *from = at, *found = NULL;
        size_t left = length;
        while (left >= name->length && (from = memchr(from, name->bytes[0], left - name->length + 1)) != NULL) {
            if (memcmp(from, name->bytes, name->length) == 0) {
                found = from;
                break;
            }
            from++;
            left = length - (size_t)(from - at);
        }
        if (found == NULL) {
            return 0;
        }
    }
    return scan->name_count != 0 || scan->any_name;
}

/* Where a row is in its block. */
typedef struct {
    uint64_t start, end; /* without the line end */
    uint64_t line;
} row_place;

/* Put a row of a block aside; behind one that may be a header, stop. */
static __attribute__((noinline)) int leave_row(row_scan *scan, const uint8_t *data, uint64_t offset, row_place at) {
    if (may_be_header(scan, data + at.start, at.end - at.start)) {
        scan->stopped = 1;
    }
    return set_aside(scan, offset + at.start, offset + at.end, at.line);
}

/* Whether any byte from `start` to `end` of the block may be no plain character. */
static inline int has_unplain(const uint8_t *unplain, uint32_t start, uint32_t end) {
    for (uint32_t i = start / 64; i <= end / 64; i++) {
        if (unplain[i] != 0) {
            return 1;
        }
    }
    return 0;
}

static inline int is_null_token(const row_scan *scan, const uint8_t *at, uint32_t length) {
    for (uint32_t i = 0; i < scan->null_count; i++) {
        if (scan->null_tokens[i].length == length && memcmp(scan->null_tokens[i].bytes, at, length) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Whether a value is one that means "no value"; `apart` is what it is if it is WIDE. */
static inline int is_null_number(const row_scan *scan, int64_t value, wide apart) {
    for (uint32_t i = 0; i < scan->null_number_count; i++) {
        const null_number *null = &scan->null_numbers[i];
        if (null->value == value && (value != WIDE || null->apart == apart)) {
            return 1;
        }
    }
    return 0;
}

/* Give the ids of a row their numbers: 1, or 0 if the reference must judge them, or -1. */
static __attribute__((noinline)) int intern_ids(summary_state *state, const row_ids *ids, uint32_t *patient,
                                                uint32_t *type) {
    uint32_t known_patient =
        find_id(&state->patients, ids->patient_low, ids->patient_high, ids->patient_length, ids->patient);
    uint32_t known_type = find_id(&state->types, ids->type_low, ids->type_high, ids->type_length, ids->type);
    /* Both are judged before either is numbered: a row that is set aside leaves no trace. */
    if (known_patient != NONE ? !is_plain(&state->patients.records[known_patient])
                              : !is_plain_id(ids->patient, ids->patient_length)) {
        return 0;
    }
    if (known_type != NONE ? !is_plain(&state->types.records[known_type]) : !is_plain_id(ids->type, ids->type_length)) {
        return 0;
    }
    int64_t number = known_patient;
    if (known_patient == NONE) {
        number = add_id(&state->patients, ids->patient_low, ids->patient_high, ids->patient_length, ids->patient, 1);
        if (number < 0) {
            return -1;
        }
    }
    *patient = (uint32_t)number;
    number = intern_type(state, ids->type_low, ids->type_high, ids->type_length, ids->type, 1);
    if (number < 0) {
        return -1;
    }
    *type = (uint32_t)number;
    return 1;
}

/* Count a row without a value: 1, or 0 if it must be set aside, or -1. */
static __attribute__((noinline)) int take_missing(row_scan *scan, summary_state *state, row_ids ids, int64_t time_us) {
    uint32_t patient, type;
    int taken = intern_ids(state, &ids, &patient, &type);
    if (taken <= 0) {
        return taken;
    }
    if (type >= scan->missing_capacity) {
        size_t before = scan->missing_capacity;
        if (reserve((void **)&scan->missing, &scan->missing_capacity, before, type + 1 - before,
                    sizeof *scan->missing) < 0) {
            return -1;
        }
        memset(scan->missing + before, 0, (scan->missing_capacity - before) * sizeof *scan->missing);
    }
    scan->missing[type]++;
    if (scan->keep_missing) { /* the block's columns have room for all of its rows */
        put_row(&scan->columns, patient, type, time_us, NO_VALUE);
    }
    scan->rows++;
    if (scan->covered != NULL) {
        count_time(scan->covered, time_us);
    }
    scan->first_us = time_us < scan->first_us ? time_us : scan->first_us;
    scan->last_us = time_us > scan->last_us ? time_us : scan->last_us;
    return 1;
}

/* The group of a row whose pair of ids has none yet: its number, or -2 if the row must be set aside, or -1. */
static __attribute__((noinline)) int64_t new_group(summary_state *state, row_ids ids) {
    uint32_t patient, type;
    int taken = intern_ids(state, &ids, &patient, &type);
    return taken > 0 ? intern_group(state, patient, type) : taken < 0 ? -1 : -2;
}

static inline __attribute__((always_inline)) int64_t group_of(summary_state *state, row_ids ids) {
    uint32_t last = (uint32_t)((1ULL << state->bits) - 1);
    for (uint32_t slot = slot_of(ids.hash, state->bits);; slot = (slot + 1) & last) {
        uint64_t entry = state->slots[slot];
        if (__builtin_expect((uint32_t)(entry >> 32) == ids.hash && entry != 0, 1)) {
            uint32_t number = (uint32_t)entry - 1;
            const group *found = &state->groups[number];
            const id_record *patient = &state->patients.records[found->patient];
            const id_record *type = &state->types.records[found->type];
            uint64_t differs = (patient->low ^ ids.patient_low) | (patient->high ^ ids.patient_high) |
                               (patient->form ^ (PLAIN | ids.patient_length)) | (type->low ^ ids.type_low) |
                               (type->high ^ ids.type_high) | (type->form ^ (PLAIN | ids.type_length));
            if (__builtin_expect(differs == 0, 1)) {
                if (__builtin_expect(ids.is_short, 1) ||
                    (same_id(&state->patients, patient, ids.patient_low, ids.patient_high, ids.patient_length,
                             ids.patient) &&
                     same_id(&state->types, type, ids.type_low, ids.type_high, ids.type_length, ids.type))) {
                    return number;
                }
            }
        }
        if (entry == 0) {
            break;
        }
    }
    return new_group(state, ids);
}

/* Find out whether a group is asked for: 1 or 0, or -1 when memory is out. */
static __attribute__((noinline)) int judge_group(row_scan *scan, const summary_state *state, int64_t number) {
    const row_filter *filter = scan->filter;
    if ((uint64_t)number >= scan->asked_capacity) {
        size_t before = scan->asked_capacity;
        if (reserve((void **)&scan->asked, &scan->asked_capacity, before, (size_t)number + 1 - before,
                    sizeof *scan->asked) < 0) {
            return -1;
        }
        memset(scan->asked + before, 0, scan->asked_capacity - before);
    }
    const group *judged = &state->groups[number];
    const id_record *patient = &state->patients.records[judged->patient], *type = &state->types.records[judged->type];
    int asked = (!filter->by_patient || find_id(&filter->patients, patient->low, patient->high, id_length(patient),
                                                id_bytes(&state->patients, judged->patient)) != NONE) &&
                (!filter->by_type || find_id(&filter->types, type->low, type->high, id_length(type),
                                             id_bytes(&state->types, judged->type)) != NONE);
    scan->asked[number] = (uint8_t)(1 + asked);
    return asked;
}

static inline int is_asked(row_scan *scan, const summary_state *state, int64_t number, int64_t time_us) {
    const row_filter *filter = scan->filter;
    if ((uint64_t)time_us - filter->since >= filter->width) {
        return 0;
    }
    if (!filter->by_patient && !filter->by_type) {
        return 1;
    }
    if (__builtin_expect((uint64_t)number < scan->asked_capacity && scan->asked[number] != 0, 1)) {
        return scan->asked[number] - 1;
    }
    return judge_group(scan, state, number);
}

/* Most of these change nothing for most rows, and a branch that is guessed right costs less than a store. */
static inline void add_to_group(group *into, const normal_range *normal, int64_t time_us, int64_t value) {
    into->count++;
    add_total(into, (uint64_t)value, (uint64_t)(value >> 63));
    into->anomalies += is_anomaly(&normal[into->type], value);
    if (__builtin_expect(value < into->low, 0)) {
        into->low = value;
    }
    if (__builtin_expect(value > into->high, 0)) {
        into->high = value;
    }
    if (__builtin_expect(time_us < into->first_us, 0)) {
        into->first_us = time_us;
    }
    if (__builtin_expect(time_us > into->last_us, 1)) {
        into->last_us = time_us;
    }
}

static inline void add_value(summary_state *state, int64_t number, int64_t time_us, int64_t value) {
    add_to_group(&state->groups[number], state->normal, time_us, value);
}

/* The same for what is kept of the group besides. */
static inline int add_further(summary_state *state, int64_t number, int64_t time_us, int64_t value) {
    const group *of = &state->groups[number];
    uint64_t anomalous = is_anomaly(&state->normal[of->type], value);
    return add_to_families(&state->family_groups[number], of->apart, state->families, time_us, value, anomalous);
}

/* What a block's rows come to, kept in registers until its end; and what they are held to, which stays as it is. */
typedef struct {
    uint64_t rows;
    int64_t first_us, last_us;
    coverage *covered;
    int has_filter;
} block_count;

/* Count a row that was taken in. */
static inline __attribute__((always_inline)) void count_row(block_count *taken, int64_t time_us) {
    taken->rows++;
    if (__builtin_expect(taken->covered != NULL, 0)) {
        count_time(taken->covered, time_us);
    }
    if (__builtin_expect(time_us < taken->first_us, 0)) {
        taken->first_us = time_us;
    }
    if (__builtin_expect(time_us > taken->last_us, 1)) {
        taken->last_us = time_us;
    }
}

/* Take in a row with a wide value, but for its count: 1, or 0 if it must be set aside, or -1. */
static __attribute__((noinline)) int take_wide(row_scan *scan, summary_state *state, row_ids ids, int64_t time_us,
                                               wide value) {
    int64_t number = group_of(state, ids);
    if (number < 0) {
        return number == -1 ? -1 : 0;
    }
    int asked = scan->filter != NULL ? is_asked(scan, state, number, time_us) : 1;
    if (asked < 0) {
        return -1;
    }
    if (!asked) {
        scan->filtered++;
    } else if (scan->to_columns) {
        put_row(&scan->columns, state->groups[number].patient, state->groups[number].type, time_us, value);
    } else if (add_wide_value(state, number, time_us, value) < 0) {
        return -1;
    }
    return 1;
}

/* Take in a row with a narrow value: 1, or 0 if it must be set aside, or -1. `to_columns` and `further` are constants. */
static inline __attribute__((always_inline)) int take_row(row_scan *scan, summary_state *state, row_ids ids,
                                                          int64_t time_us, int64_t value, block_count *taken,
                                                          const int to_columns, const int further) {
    int64_t number = group_of(state, ids);
    if (__builtin_expect(number < 0, 0)) {
        return number == -1 ? -1 : 0;
    }
    int asked = taken->has_filter ? is_asked(scan, state, number, time_us) : 1;
    if (__builtin_expect(asked <= 0, 0)) {
        if (asked < 0) {
            return -1;
        }
        scan->filtered++;
    } else if (to_columns) {
        put_row(&scan->columns, state->groups[number].patient, state->groups[number].type, time_us, (wide)value * UNIT);
    } else {
        add_value(state, number, time_us, value);
        if (further && add_further(state, number, time_us, value) < 0) {
            return -1;
        }
    }
    count_row(taken, time_us);
    return 1;
}

static void free_scan(row_scan *scan) {
    for (uint32_t i = 0; i < scan->null_count; i++) {
        free((void *)scan->null_tokens[i].bytes);
    }
    free(scan->null_tokens);
    for (uint32_t i = 0; i < scan->name_count; i++) {
        free((void *)scan->names[i].bytes);
    }
    free(scan->names);
    free(scan->null_numbers);
    free(scan->missing);
    free(scan->asked);
    free(scan->covered);
    free(scan->aside);
    free_columns(&scan->columns);
}

#endif
