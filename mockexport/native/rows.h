/* The scan: a chunk's bytes straight into the state of `Summary`, or into columns, and the counts of a tally.
 *
 * Rules: a row is taken only if it is plainly well formed: every byte of it has been checked when it is. All other rows
 * are set aside by position, for the reference to judge; nothing here ever calls a row bad. No Python, no global state.
 *
 * A block's boundaries come first (index.h). Rows are then read in batches, and a batch is gone through several times:
 * first everything that the bytes alone tell, then the groups, each fetched ahead, as with a million of them nearly
 * every one comes from main memory.
 */
#ifndef MOCKEXPORT_ROWS_H
#define MOCKEXPORT_ROWS_H

#include "columns.h"
#include "coverage.h"
#include "state.h"

/* A block and the positions in it stay in a core's first cache. A longer row is set aside. */
#define BLOCK_BYTES 16384
/* Its time alone takes up more. */
#define LEAST_ROW_BYTES 16
/* What is left at a chunk's end is copied, so that reading beyond it is allowed; a longer row there is set aside. */
#define TAIL_BYTES 4096
/* Enough rows that memory answers for all of them at once. */
#define BATCH_ROWS 32
/* With fewer groups than this they are all in the caches, and fetching ahead is wasted. */
#define FAR_GROUPS 4096

#define DAY_US 86400000000LL
#define MINUTE_US 60000000LL
/* 10^9 (fields.MAX_VALUE) in units of 10^-9. */
#define MAX_SCALED 1000000000000000000ULL
/* What a reading of a field returns where the field is not plain: no time and no value comes near it. */
#define NOT_PLAIN INT64_MIN

typedef struct {
    uint64_t start, end; /* in the chunk, without the line end */
    uint64_t line;       /* from 0 at the chunk's start */
    size_t place;        /* so many rows are in the columns before it */
} aside_row;

typedef struct {
    const uint8_t *bytes;
    uint32_t length;
} token;

/* Local times from `from_us` on, to the next span's, are so far ahead of UTC; NOT_PLAIN where only the reference knows. */
typedef struct {
    int64_t from_us, ahead_us;
} offset_span;

/* Which rows are asked for: (time - since), without a sign, is below `width`, and the ids are among these, if so said.
 * Scans share it and do not change it. */
typedef struct {
    uint64_t since, width;
    id_table patients, types;
    int by_patient, by_type;
} row_filter;

typedef struct {
    uint32_t patient, time, type, value, fields; /* the columns' places, and their number */
    uint8_t delimiter;
    token *null_tokens;
    uint32_t null_count;
    /* The minute read last: nearly every row shares it with the one before. */
    uint64_t minute_low, minute_high;
    int64_t minute_us;
    /* Local times, where they are: how far ahead of UTC the minute is. */
    const offset_span *spans;
    uint32_t span_count;
    int64_t ahead_us;
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
    int has_quotes; /* the block before had some: the scan of the usual layout would leave their rows to the reference */
    /* Where rows go: to the state's groups, or, numbered as those are, to the chunk's columns. */
    int to_columns;
    int keep_missing; /* rows without a value go there too, with NO_VALUE for one */
    row_columns columns;
} row_scan;

/* The ids of a row: where they are, and what a look-up compares. Passed by value, so that it lives in registers. */
typedef struct {
    const uint8_t *patient, *type;
    uint64_t patient_low, patient_high, type_low, type_high;
    uint32_t patient_length, type_length;
    uint32_t hash;
    int is_short;
} row_ids;

/* A row that is well formed but for its ids, which are looked up later. */
typedef struct {
    row_ids ids;
    uint32_t start, end;
    uint64_t line;
    int64_t time_us, value;
} pending_row;

/* ---- fields ---- */

/* The number that eight bytes spell, each a digit's value, the first the highest. */
static inline uint32_t eight_digits(uint64_t digits) {
    digits = digits * 10 + (digits >> 8);
    return (uint32_t)(((digits & 0x000000FF000000FFULL) * 0x000F424000000064ULL +
                       ((digits >> 16) & 0x000000FF000000FFULL) * 0x0000271000000001ULL) >> 32);
}

/* Not zero if a byte is above 9. */
static inline uint64_t beyond_digits(uint64_t digits) {
    return ((digits + 0x7676767676767676ULL) | digits) & 0x8080808080808080ULL;
}

static const uint64_t power_of_ten[19] = {1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL,
    100000000ULL, 1000000000ULL, 10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL,
    100000000000000ULL, 1000000000000000ULL, 10000000000000000ULL, 100000000000000000ULL, 1000000000000000000ULL};

static inline int two_digits(const uint8_t *at, uint32_t *number) {
    uint32_t tens = (uint32_t)at[0] - '0', ones = (uint32_t)at[1] - '0';
    *number = tens * 10 + ones;
    return tens <= 9 && ones <= 9;
}

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar, counted in eras of 400 years from 1 March 0000. */
static int64_t days_of(int64_t year, uint32_t month, uint32_t day) {
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Read `YYYY-MM-DD[T ]HH:MM` of a real date and time of day. */
static __attribute__((noinline)) int64_t read_minute(const uint8_t *at) {
    static const uint8_t days_in[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint32_t century, of_century, month, day, hour, minute;
    if (!two_digits(at, &century) || !two_digits(at + 2, &of_century) || at[4] != '-' || !two_digits(at + 5, &month) ||
        at[7] != '-' || !two_digits(at + 8, &day) || (at[10] != 'T' && at[10] != ' ') || !two_digits(at + 11, &hour) ||
        at[13] != ':' || !two_digits(at + 14, &minute)) {
        return NOT_PLAIN;
    }
    uint32_t year = century * 100 + of_century;
    if (year < 1 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59) {
        return NOT_PLAIN;
    }
    int leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > (uint32_t)days_in[month] + (uint32_t)leap) {
        return NOT_PLAIN;
    }
    return days_of(year, month, day) * DAY_US + (int64_t)(hour * 60 + minute) * MINUTE_US;
}

/* How far ahead of UTC a zone is in the minute that begins at a local time. */
static __attribute__((noinline)) int64_t ahead_at(const row_scan *scan, int64_t minute_us) {
    uint32_t low = 0, high = scan->span_count; /* the span is below `high`, and not below `low` unless that is 0 */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (scan->spans[middle].from_us <= minute_us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? NOT_PLAIN : scan->spans[low - 1].ahead_us;
}

/* A time without an offset, as UTC. */
static inline int64_t from_local(int64_t time_us, int64_t ahead_us) {
    return __builtin_expect(ahead_us == NOT_PLAIN, 0) ? NOT_PLAIN : time_us - ahead_us;
}

/* Read what may follow the seconds: `[.d…][Z|±HH:MM]`, to the end; the fraction is cut to microseconds. */
static __attribute__((noinline)) int64_t read_rest(const uint8_t *at, const uint8_t *end, int64_t time_us,
                                                   int64_t ahead_us) {
    if (at < end && *at == '.') {
        const uint8_t *first = ++at;
        int64_t fraction = 0;
        for (; at < end && (uint32_t)*at - '0' <= 9; at++) {
            if (at - first < 6) {
                fraction = fraction * 10 + (*at - '0');
            }
        }
        ptrdiff_t digits = at - first;
        if (digits < 1 || digits > 9) {
            return NOT_PLAIN;
        }
        for (; digits < 6; digits++) {
            fraction *= 10;
        }
        time_us += fraction;
    }
    if (at == end) {
        return from_local(time_us, ahead_us);
    }
    if (*at == 'Z') {
        return end - at == 1 ? time_us : NOT_PLAIN;
    }
    uint32_t hours, minutes;
    if ((*at != '+' && *at != '-') || end - at != 6 || !two_digits(at + 1, &hours) || at[3] != ':' ||
        !two_digits(at + 4, &minutes) || hours > 23 || minutes > 59) {
        return NOT_PLAIN;
    }
    int64_t offset_us = (int64_t)(hours * 60 + minutes) * MINUTE_US;
    return *at == '-' ? time_us + offset_us : time_us - offset_us;
}

/* The number in the two middle bytes of a word, the first the higher. */
static inline uint32_t seconds_of(uint32_t word) {
    return (((word >> 8) & 0xFFFF) * 2561 >> 8) & 0xFF;
}

/* The forms that nearly every export has are read as words: six digits of fraction and a Z, the Z alone, or neither. */
static inline int64_t read_time(row_scan *scan, const uint8_t *at, uint32_t length) {
    if (__builtin_expect(length < 19, 0)) {
        return NOT_PLAIN;
    }
    uint64_t low = load64(at), high = load64(at + 8);
    if (__builtin_expect((low ^ scan->minute_low) | (high ^ scan->minute_high), 0)) {
        int64_t minute_us = read_minute(at);
        if (minute_us == NOT_PLAIN) {
            return NOT_PLAIN;
        }
        scan->minute_low = low;
        scan->minute_high = high;
        scan->minute_us = minute_us;
        if (scan->span_count != 0) {
            scan->ahead_us = ahead_at(scan, minute_us);
        }
    }
    uint32_t second = load32(at + 16) ^ 0x2E30303AU; /* ":00." */
    if (__builtin_expect(length == 27, 1)) {
        uint64_t digits = load64(at + 19) ^ 0x5A3030303030302EULL; /* ".000000Z" */
        uint64_t wrong = ((digits + 0x7F7676767676767FULL) | digits) & 0x8080808080808080ULL;
        wrong |= ((second + 0x7F767A7FU) | second) & 0x80808080U;
        if (__builtin_expect(wrong == 0, 1)) {
            return scan->minute_us + (int64_t)(seconds_of(second) * 1000000) + eight_digits(digits << 8);
        }
    }
    /* The point is not asked for here: it may be a Z, a sign, or the end. */
    if (((second + 0x00767A7FU) | second) & 0x00808080U) {
        return NOT_PLAIN;
    }
    int64_t time_us = scan->minute_us + (int64_t)(seconds_of(second) * 1000000);
    if (length == 20 && at[19] == 'Z') {
        return time_us;
    }
    if (length == 19) {
        return from_local(time_us, scan->ahead_us);
    }
    return read_rest(at + 19, at + length, time_us, scan->ahead_us);
}

/* Any decimal of up to nine places: `[+-]?digits[.digits]`. */
static __attribute__((noinline)) int64_t read_long_value(const uint8_t *at, uint32_t length) {
    const uint8_t *end = at + length;
    int negative = *at == '-';
    if (negative || *at == '+') {
        at++;
    }
    uint64_t number = 0;
    uint32_t significant = 0, places = 0, digits = 0;
    int in_fraction = 0;
    for (; at < end; at++) {
        uint32_t digit = (uint32_t)*at - '0';
        if (digit <= 9) {
            number = number * 10 + digit;
            digits++;
            significant += number != 0;
            places += (uint32_t)in_fraction;
            if (significant > 19 || places > 9) {
                return NOT_PLAIN;
            }
        } else if (*at == '.' && !in_fraction) {
            in_fraction = 1;
        } else {
            return NOT_PLAIN;
        }
    }
    uint64_t factor = power_of_ten[9 - places];
    if (digits == 0 || number > MAX_SCALED / factor) {
        return NOT_PLAIN;
    }
    number *= factor;
    return negative ? -(int64_t)number : (int64_t)number;
}

/* Up to eight bytes are read as one word, whatever their number: lengths vary from row to row, and a branch on them
 * would be guessed wrong. */
static inline int64_t read_value(const uint8_t *at, uint32_t length) {
    if (__builtin_expect(length > 8, 0)) {
        return read_long_value(at, length);
    }
    unsigned shift = 64 - 8 * length;
    uint64_t digits = (load64(at) << shift) ^ (0x3030303030303030ULL << shift);
    if (__builtin_expect(beyond_digits(digits) == 0, 1)) {
        return (int64_t)eight_digits(digits) * 1000000000;
    }
    /* The lowest byte that is a point, found exactly; what is no digit after taking it out is no plain decimal. */
    uint64_t differs = digits ^ 0x1E1E1E1E1E1E1E1EULL;
    uint64_t points = (differs - 0x0101010101010101ULL) & ~differs & 0x8080808080808080ULL;
    if (points == 0 || length < 2) {
        return read_long_value(at, length);
    }
    unsigned point = (unsigned)__builtin_ctzll(points) & ~7U; /* the bits before its byte */
    uint64_t whole = digits & ((1ULL << point) - 1), fraction = digits & (~0xFFULL << point);
    digits = whole << 8 | fraction;
    if (beyond_digits(digits) != 0) {
        return read_long_value(at, length);
    }
    return (int64_t)(eight_digits(digits) * power_of_ten[9 - (7 - point / 8)]);
}

/* ---- rows ---- */

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

/* Find the four columns of a row, in the order patient, time, type, value, when fields are quoted: 1, or 0 where that is
 * not plain. It is if the row is ASCII without NUL and every quote is the first or last byte of its field. */
static __attribute__((noinline)) int split_quoted(const row_scan *scan, const uint8_t *at, const uint8_t *end,
                                                  text *columns) {
    const uint8_t delimiter = scan->delimiter;
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

/* Give the ids of a row their numbers: 1, or 0 if the reference must judge them, or -1. */
static __attribute__((noinline)) int intern_ids(summary_state *state, const row_ids *ids, uint32_t *patient,
                                                uint32_t *type) {
    uint32_t known_patient =
        find_id(&state->patients, ids->patient_low, ids->patient_high, ids->patient_length, ids->patient);
    uint32_t known_type = find_id(&state->types, ids->type_low, ids->type_high, ids->type_length, ids->type);
    /* Both are judged before either is numbered: a row that is set aside leaves no trace. */
    if (known_patient != NONE ? !is_plain(&state->patients.records[known_patient])
                              : !is_plain_text(ids->patient, ids->patient_length)) {
        return 0;
    }
    if (known_type != NONE ? !is_plain(&state->types.records[known_type]) : !is_plain_text(ids->type, ids->type_length)) {
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
static inline void add_value(summary_state *state, int64_t number, int64_t time_us, int64_t value) {
    group *into = &state->groups[number];
    into->count++;
    add_total(into, (uint64_t)value, (uint64_t)(value >> 63));
    into->anomalies += is_anomaly(&state->normal[into->type], value);
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

/* The same for what is kept of the group besides. */
static inline int add_further(summary_state *state, int64_t number, int64_t time_us, int64_t value) {
    return add_to_families(&state->family_groups[number], state->families, time_us, value);
}

/* Ask memory for the groups of rows to come, and for the ids that prove them. */
static inline void fetch_groups(const summary_state *state, const pending_row *rows, uint32_t count, const int further) {
    const group *near[BATCH_ROWS];
    for (uint32_t i = 0; i < count; i++) {
        uint64_t entry = state->slots[slot_of(rows[i].ids.hash, state->bits)];
        near[i] = &state->groups[entry != 0 ? (uint32_t)entry - 1 : 0];
        __builtin_prefetch(near[i], 1);
        __builtin_prefetch((const uint8_t *)near[i] + sizeof(group) - 1, 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        __builtin_prefetch(&state->patients.records[near[i]->patient]);
        if (further) {
            const family_group *kept = &state->family_groups[near[i] - state->groups];
            __builtin_prefetch(kept, 1);
            __builtin_prefetch((const uint8_t *)kept + sizeof *kept - 1, 1);
        }
    }
    for (uint32_t i = 0; further && i < count; i++) {
        fetch_counts(&state->family_groups[near[i] - state->groups], rows[i].time_us, rows[i].value);
    }
}

/* Take in the whole rows of a block, which begins at `offset` of its chunk; return the bytes they take up, or -1.
 *
 * `usual`, `far`, `to_columns` and `further` are constants wherever this is called. Four columns in the usual order need
 * no layout; where all groups are near, rows need not be gathered first; and who asks for no further statistics pays for
 * none.
 */
static inline __attribute__((always_inline)) int64_t scan_block(row_scan *scan, summary_state *state,
                                                                const uint8_t *data, size_t size, uint64_t offset,
                                                                const int usual, const int far, const int to_columns,
                                                                const int further) {
    pending_row rows[far ? BATCH_ROWS : 1];
    const uint8_t delimiter = scan->delimiter;
    const uint32_t fields = usual ? 4 : scan->fields;
    const uint32_t *at = scan->positions + 1, *last = at + index_block(data, size, delimiter, scan->positions + 1);
    /* Fields that nobody needs must be plain, too: in most blocks every byte is. */
    const int all_plain = usual || !mark_unplain(data, size, scan->unplain);
    scan->has_quotes = !all_plain;
    const int has_nulls = scan->null_count != 0, has_filter = scan->filter != NULL;
    coverage *const covered = scan->covered;
    uint32_t start = 0, pending = 0;
    uint64_t line = scan->lines, taken = 0;
    int64_t first_us = INT64_MAX, last_us = INT64_MIN;
    if (to_columns && reserve_rows(&scan->columns, size / LEAST_ROW_BYTES + 1) < 0) {
        return -1;
    }

#define SET_ASIDE(row_start, row_end, row_line)                                                                        \
    do {                                                                                                               \
        if (set_aside(scan, offset + (row_start), offset + (row_end), (row_line)) < 0) {                               \
            return -1;                                                                                                 \
        }                                                                                                              \
        if (usual) {                                                                                                   \
            scan->has_quotes |= memchr(data + (row_start), '"', (row_end) - (row_start)) != NULL;                      \
        }                                                                                                              \
    } while (0)

#define TAKE(row_ids_, row_start, row_end, row_line, row_time_us, row_value)                                           \
    do {                                                                                                               \
        int64_t number_ = group_of(state, (row_ids_));                                                                 \
        if (__builtin_expect(number_ < 0, 0)) {                                                                        \
            if (number_ == -1) {                                                                                       \
                return -1;                                                                                             \
            }                                                                                                          \
            SET_ASIDE(row_start, row_end, row_line);                                                                   \
        } else {                                                                                                       \
            int asked_ = !has_filter || is_asked(scan, state, number_, (row_time_us));                                 \
            if (__builtin_expect(asked_ <= 0, 0)) {                                                                    \
                if (asked_ < 0) {                                                                                      \
                    return -1;                                                                                         \
                }                                                                                                      \
                scan->filtered++;                                                                                      \
            } else if (to_columns) {                                                                                   \
                const group *of_ = &state->groups[number_];                                                            \
                put_row(&scan->columns, of_->patient, of_->type, (row_time_us), (row_value));                          \
            } else {                                                                                                   \
                add_value(state, number_, (row_time_us), (row_value));                                                 \
                if (further && add_further(state, number_, (row_time_us), (row_value)) < 0) {                          \
                    return -1;                                                                                         \
                }                                                                                                      \
            }                                                                                                          \
            taken++;                                                                                                   \
            if (__builtin_expect(covered != NULL, 0)) {                                                                \
                count_time(covered, (row_time_us));                                                                    \
            }                                                                                                          \
            if (__builtin_expect((row_time_us) < first_us, 0)) {                                                       \
                first_us = (row_time_us);                                                                              \
            }                                                                                                          \
            if (__builtin_expect((row_time_us) > last_us, 1)) {                                                        \
                last_us = (row_time_us);                                                                               \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)

#define TAKE_PENDING                                                                                                   \
    do {                                                                                                               \
        if (pending != 0 && state->count != 0) {                                                                       \
            fetch_groups(state, rows, pending, further);                                                               \
        }                                                                                                              \
        for (uint32_t i_ = 0; i_ < pending; i_++) {                                                                    \
            TAKE(rows[i_].ids, rows[i_].start, rows[i_].end, rows[i_].line, rows[i_].time_us, rows[i_].value);         \
        }                                                                                                              \
        pending = 0;                                                                                                   \
    } while (0)

    for (;; line++) {
        const uint32_t *next = at + fields;
        row_ids ids;
        uint32_t end, time, time_length, value_at, value_length;
        int64_t time_us, value;
        if (__builtin_expect((size_t)(last - at) < fields, 0)) {
            goto irregular;
        }
        end = at[fields - 1];
        if (usual) {
            uint32_t one = at[0], two = at[1], three = at[2];
            if (__builtin_expect((data[one] ^ delimiter) | (data[two] ^ delimiter) | (data[three] ^ delimiter) |
                                     (data[end] ^ '\n'), 0)) {
                goto irregular;
            }
            ids.patient = data + start;
            ids.patient_length = one - start;
            time = one + 1;
            time_length = two - time;
            ids.type = data + two + 1;
            ids.type_length = three - two - 1;
            value_at = three + 1;
            value_length = end - value_at - (data[end - 1] == '\r');
        } else {
            uint32_t wrong = data[end] ^ '\n';
            for (uint32_t i = 0; i + 1 < fields; i++) {
                wrong |= data[at[i]] ^ delimiter;
            }
            if (__builtin_expect(wrong, 0)) {
                goto irregular;
            }
            /* The position before a row's first is that of the line end before it. */
            const uint32_t returned = data[end - 1] == '\r';
#define BEGIN(field) (at[(int64_t)(field) - 1] + 1)
#define FINISH(field) (at[field] - (returned & ((field) == fields - 1)))
            ids.patient = data + BEGIN(scan->patient);
            ids.patient_length = FINISH(scan->patient) - BEGIN(scan->patient);
            time = BEGIN(scan->time);
            time_length = FINISH(scan->time) - time;
            ids.type = data + BEGIN(scan->type);
            ids.type_length = FINISH(scan->type) - BEGIN(scan->type);
            value_at = BEGIN(scan->value);
            value_length = FINISH(scan->value) - value_at;
            /* Delimiters are plain: if the row is, then so is every field. */
            if (!all_plain && has_unplain(scan->unplain, start, end) && !is_plain_text(data + start, end - start)) {
                goto quoted;
            }
#undef BEGIN
#undef FINISH
        }
    split:
        ids.is_short = ((ids.patient_length - 1) | (ids.type_length - 1)) < SHORT_ID_BYTES;
        if (!ids.is_short && (ids.patient_length - 1 >= MAX_ID_BYTES || ids.type_length - 1 >= MAX_ID_BYTES)) {
            goto unclear;
        }
        time_us = read_time(scan, data + time, time_length);
        if (__builtin_expect(time_us == NOT_PLAIN, 0)) {
            goto unclear;
        }
        id_words(ids.patient, ids.patient_length, &ids.patient_low, &ids.patient_high);
        id_words(ids.type, ids.type_length, &ids.type_low, &ids.type_high);
        if (__builtin_expect(
                value_length == 0 || (has_nulls && is_null_token(scan, data + value_at, value_length)), 0)) {
            int counted = take_missing(scan, state, ids, time_us);
            if (counted < 0) {
                return -1;
            }
            if (counted == 0) {
                goto unclear;
            }
        } else {
            value = read_value(data + value_at, value_length);
            if (__builtin_expect(value == NOT_PLAIN, 0)) {
                goto unclear;
            }
            ids.hash = pair_hash(ids.patient_low, ids.patient_high, ids.type_low, ids.type_high);
            if (far) {
                __builtin_prefetch(&state->slots[slot_of(ids.hash, state->bits)]);
                rows[pending] = (pending_row){ids, start, end, line, time_us, value};
                if (++pending == BATCH_ROWS) {
                    TAKE_PENDING;
                }
            } else {
                TAKE(ids, start, end, line, time_us, value);
            }
        }
        start = end + 1;
        at = next;
        continue;
    unclear:
        SET_ASIDE(start, end, line);
        start = end + 1;
        at = next;
        continue;
    quoted:
        if (!usual) {
            text columns[4];
            if (!split_quoted(scan, data + start, data + end - (data[end - 1] == '\r'), columns)) {
                goto unclear;
            }
            ids.patient = columns[0].at;
            ids.patient_length = columns[0].length;
            time = (uint32_t)(columns[1].at - data);
            time_length = columns[1].length;
            ids.type = columns[2].at;
            ids.type_length = columns[2].length;
            value_at = (uint32_t)(columns[3].at - data);
            value_length = columns[3].length;
            goto split;
        }
        goto unclear;
    irregular:
        /* Too few fields, too many, or none: the row ends at the next line end, if there is one in the block. */
        while (at < last && data[*at] != '\n') {
            at++;
        }
        if (at == last) {
            break;
        }
        end = *at++;
        if (end - start > 1 || (end - start == 1 && data[start] != '\r')) {
            next = at;
            goto quoted;
        }
        start = end + 1;
    }
    TAKE_PENDING;
#undef SET_ASIDE
#undef TAKE
#undef TAKE_PENDING
    scan->lines = line;
    scan->rows += taken;
    scan->first_us = first_us < scan->first_us ? first_us : scan->first_us;
    scan->last_us = last_us > scan->last_us ? last_us : scan->last_us;
    return start;
}

static __attribute__((noinline)) int64_t scan_usual(row_scan *scan, summary_state *state, const uint8_t *data,
                                                    size_t size, uint64_t offset) {
    return scan_block(scan, state, data, size, offset, 1, 0, 0, 0);
}

static __attribute__((noinline)) int64_t scan_usual_far(row_scan *scan, summary_state *state, const uint8_t *data,
                                                        size_t size, uint64_t offset) {
    return scan_block(scan, state, data, size, offset, 1, 1, 0, 0);
}

/* Any layout: fetched ahead or not makes little difference beside finding the columns. */
static __attribute__((noinline)) int64_t scan_any(row_scan *scan, summary_state *state, const uint8_t *data,
                                                  size_t size, uint64_t offset) {
    return state->count > FAR_GROUPS ? scan_block(scan, state, data, size, offset, 0, 1, 0, 0)
                                     : scan_block(scan, state, data, size, offset, 0, 0, 0, 0);
}

/* With further statistics a row is worth gathering, always. */
static __attribute__((noinline)) int64_t scan_further(row_scan *scan, summary_state *state, const uint8_t *data,
                                                      size_t size, uint64_t offset, int usual) {
    return usual ? scan_block(scan, state, data, size, offset, 1, 1, 0, 1)
                 : scan_block(scan, state, data, size, offset, 0, 1, 0, 1);
}

/* Never gathered first: rows, and those set aside, must stay in order. */
static __attribute__((noinline)) int64_t scan_to_columns(row_scan *scan, summary_state *state, const uint8_t *data,
                                                         size_t size, uint64_t offset, int usual) {
    return usual ? scan_block(scan, state, data, size, offset, 1, 0, 1, 0)
                 : scan_block(scan, state, data, size, offset, 0, 0, 1, 0);
}

/* The scan of a block that suits the layout and the number of groups so far. */
static int64_t take_block(row_scan *scan, summary_state *state, const uint8_t *data, size_t size, uint64_t offset) {
    int usual = !scan->has_quotes && scan->fields == 4 && scan->patient == 0 && scan->time == 1 && scan->type == 2;
    if (scan->to_columns) {
        return scan_to_columns(scan, state, data, size, offset, usual);
    }
    if (state->families != 0) {
        return scan_further(scan, state, data, size, offset, usual);
    }
    if (!usual) {
        return scan_any(scan, state, data, size, offset);
    }
    return state->count > FAR_GROUPS ? scan_usual_far(scan, state, data, size, offset)
                                     : scan_usual(scan, state, data, size, offset);
}

/* Take in a chunk of whole rows, the last with or without its line end; rows that are not plain are in `aside`
 * afterwards, in no particular order. Return 0, or -1 when memory is out. */
static int scan_chunk(row_scan *scan, summary_state *state, const uint8_t *data, size_t size) {
    size_t at = 0;
    scan->aside_count = 0;
    scan->lines = 0;
    scan->positions[0] = UINT32_MAX;
    while (size - at > TAIL_BYTES) {
        size_t block = size - at - PADDING < BLOCK_BYTES ? size - at - PADDING : BLOCK_BYTES;
        int64_t taken = take_block(scan, state, data + at, block, at);
        if (taken < 0) {
            return -1;
        }
        if (taken == 0) {
            /* A row longer than a block. */
            const uint8_t *line_end = memchr(data + at + block, '\n', size - at - block);
            size_t end = line_end == NULL ? size : (size_t)(line_end - data);
            if (set_aside(scan, at, end, scan->lines) < 0) {
                return -1;
            }
            scan->lines++;
            taken = (int64_t)((line_end == NULL ? end : end + 1) - at);
        }
        at += (size_t)taken;
    }
    size_t left = size - at;
    if (left != 0) {
        memcpy(scan->tail, data + at, left);
        if (scan->tail[left - 1] != '\n') {
            scan->tail[left++] = '\n';
        }
        memset(scan->tail + left, 0, PADDING);
        int64_t taken = take_block(scan, state, scan->tail, left, at);
        if (taken < 0) {
            return -1;
        }
    }
    return 0;
}

static void free_scan(row_scan *scan) {
    for (uint32_t i = 0; i < scan->null_count; i++) {
        free((void *)scan->null_tokens[i].bytes);
    }
    free(scan->null_tokens);
    free(scan->missing);
    free(scan->asked);
    free(scan->covered);
    free(scan->aside);
    free_columns(&scan->columns);
}

#endif
