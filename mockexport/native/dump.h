/* A state as JSON, byte for byte what `Summary.dump` or `Selection.dump` writes: rows sorted by patient and event type.
 *
 * Rules: the reference's bytes are the law (json.dumps with its defaults). Ids are compared as bytes, which for UTF-8 is
 * the order of code points, and so Python's order of texts.
 */
#ifndef MOCKEXPORT_DUMP_H
#define MOCKEXPORT_DUMP_H

#include "state.h"

/* Seven numbers of up to 39 digits, with signs, commas and brackets. */
#define NUMBERS_BYTES 320
/* A byte of an id becomes six at the most: \u00XX. */
#define ESCAPED_BYTES 6

typedef struct {
    uint64_t rank; /* of the patient << 32 | of the event type */
    uint32_t number;
} ranked;

typedef struct {
    const uint8_t *bytes;
    uint32_t length, number;
} named;

static int by_name(const void *left, const void *right) {
    const named *a = left, *b = right;
    int order = memcmp(a->bytes, b->bytes, a->length < b->length ? a->length : b->length);
    return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

static int by_rank(const void *left, const void *right) {
    uint64_t a = ((const ranked *)left)->rank, b = ((const ranked *)right)->rank;
    return (a > b) - (a < b);
}

/* The place of every id in the order of names, to be freed; NULL when memory is out. */
static uint32_t *ranks_of(const id_table *table) {
    size_t count = table->count;
    named *names = malloc((count + 1) * sizeof *names);
    uint32_t *ranks = malloc((count + 1) * sizeof *ranks);
    if (names == NULL || ranks == NULL) {
        free(names);
        free(ranks);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        names[i] = (named){id_bytes(table, i), id_length(&table->records[i]), i};
    }
    qsort(names, count, sizeof *names, by_name);
    for (uint32_t i = 0; i < count; i++) {
        ranks[names[i].number] = i;
    }
    free(names);
    return ranks;
}

/* The numbers of the groups in the order of their ids, to be freed; NULL when memory is out. */
static ranked *sorted_groups(const summary_state *state) {
    uint32_t *patients = ranks_of(&state->patients), *types = ranks_of(&state->types);
    ranked *order = malloc(((size_t)state->count + 1) * sizeof *order);
    if (patients != NULL && types != NULL && order != NULL) {
        for (uint32_t i = 0; i < state->count; i++) {
            const group *at = &state->groups[i];
            order[i] = (ranked){(uint64_t)patients[at->patient] << 32 | types[at->type], i};
        }
        qsort(order, state->count, sizeof *order, by_rank);
    } else {
        free(order);
        order = NULL;
    }
    free(patients);
    free(types);
    return order;
}

static uint8_t *put_unit(uint8_t *out, uint32_t unit) {
    static const char digits[] = "0123456789abcdef";
    *out++ = '\\';
    *out++ = 'u';
    for (int shift = 12; shift >= 0; shift -= 4) {
        *out++ = (uint8_t)digits[unit >> shift & 15];
    }
    return out;
}

/* A text as JSON in ASCII; `bytes` are UTF-8. */
static uint8_t *put_text(uint8_t *out, const uint8_t *bytes, uint32_t length) {
    *out++ = '"';
    for (uint32_t at = 0; at < length;) {
        uint8_t byte = bytes[at];
        if (byte >= 0x80) {
            uint32_t size = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
            uint32_t point = byte & (0xFFU >> (size + 1));
            for (uint32_t i = 1; i < size; i++) {
                point = point << 6 | (bytes[at + i] & 0x3F);
            }
            if (point >= 0x10000) {
                out = put_unit(out, 0xD800 + ((point - 0x10000) >> 10));
                point = 0xDC00 + ((point - 0x10000) & 0x3FF);
            }
            out = put_unit(out, point);
            at += size;
            continue;
        }
        at++;
        const char *escape = byte == '"' ? "\\\"" : byte == '\\' ? "\\\\" : byte == '\n' ? "\\n" : byte == '\r' ? "\\r"
                           : byte == '\t' ? "\\t" : byte == '\b' ? "\\b" : byte == '\f' ? "\\f" : NULL;
        if (escape != NULL) {
            *out++ = (uint8_t)escape[0];
            *out++ = (uint8_t)escape[1];
        } else if (byte < 0x20 || byte == 0x7F) {
            out = put_unit(out, byte);
        } else {
            *out++ = byte;
        }
    }
    *out++ = '"';
    return out;
}

static uint8_t *put_number(uint8_t *out, unsigned __int128 number, int negative) {
    uint8_t digits[40];
    int count = 0;
    do {
        digits[count++] = (uint8_t)('0' + (unsigned)(number % 10));
        number /= 10;
    } while (number != 0);
    *out++ = ',';
    *out++ = ' ';
    if (negative) {
        *out++ = '-';
    }
    while (count > 0) {
        *out++ = digits[--count];
    }
    return out;
}

static uint8_t *put_signed(uint8_t *out, int64_t number) {
    return put_number(out, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, number < 0);
}

/* How many bytes a group's row can take at the most. */
static inline size_t row_bound(const summary_state *state, uint32_t number) {
    const group *at = &state->groups[number];
    return NUMBERS_BYTES + ESCAPED_BYTES * ((size_t)id_length(&state->patients.records[at->patient]) +
                                            id_length(&state->types.records[at->type]));
}

/* A group as `["patient", "type", count, total, low, high, anomalies, first, last`, to be closed. */
static uint8_t *put_group(uint8_t *out, const summary_state *state, uint32_t number) {
    const group *at = &state->groups[number];
    unsigned __int128 total = (unsigned __int128)at->total_high << 64 | at->total_low;
    int negative = (int64_t)at->total_high < 0;
    *out++ = '[';
    out = put_text(out, id_bytes(&state->patients, at->patient), id_length(&state->patients.records[at->patient]));
    *out++ = ',';
    *out++ = ' ';
    out = put_text(out, id_bytes(&state->types, at->type), id_length(&state->types.records[at->type]));
    out = put_number(out, at->count, 0);
    out = put_number(out, negative ? 0 - total : total, negative);
    out = put_signed(out, at->low);
    out = put_signed(out, at->high);
    out = put_number(out, at->anomalies, 0);
    out = put_signed(out, at->first_us);
    return put_signed(out, at->last_us);
}

/* The sum of squares: its words in halves, so that a step of the long division fits a word. */
static uint8_t *put_squares(uint8_t *out, const uint64_t squares[3]) {
    uint32_t words[6];
    uint8_t digits[60];
    int count = 0, rest = 1;
    for (int i = 0; i < 6; i++) {
        words[i] = (uint32_t)(squares[i / 2] >> (i % 2 * 32));
    }
    while (rest) {
        uint64_t digit = 0;
        rest = 0;
        for (int i = 5; i >= 0; i--) {
            digit = digit << 32 | words[i];
            words[i] = (uint32_t)(digit / 10);
            digit %= 10;
            rest |= words[i] != 0;
        }
        digits[count++] = (uint8_t)('0' + digit);
    }
    *out++ = ',';
    *out++ = ' ';
    while (count > 0) {
        *out++ = digits[--count];
    }
    return out;
}

/* A counter as `[over, key, count, …]` in the order of keys; NULL when memory is out. */
static uint8_t *put_counter(uint8_t *out, const counter *of) {
    counted *sorted = sorted_counts(of);
    if (sorted == NULL) {
        return NULL;
    }
    *out++ = ',';
    *out++ = ' ';
    *out++ = '[';
    *out++ = of->over ? '1' : '0';
    for (uint32_t i = 0; i < of->used; i++) {
        out = put_signed(out, sorted[i].key);
        out = put_number(out, sorted[i].count, 0);
    }
    *out++ = ']';
    free(sorted);
    return out;
}

/* How many bytes the families of a group can take at the most: 59 digits and as many bytes again; and for each entry of
 * a counter two numbers of up to 20 digits, commas and spaces. */
static inline size_t families_bound(const family_group *of) {
    return 128 + 48 * ((size_t)of->values.used + of->hours.used + of->days.used);
}

/* What is kept of a group besides, each family behind a comma; NULL when memory is out. */
static uint8_t *put_families(uint8_t *out, const family_group *of, unsigned families) {
    const counter *counters[3] = {&of->values, &of->hours, &of->days};
    static const unsigned names[3] = {FAMILY_VALUES, FAMILY_HOURS, FAMILY_DAYS};
    if (families & FAMILY_SQUARES) {
        out = put_squares(out, of->squares);
    }
    for (int i = 0; i < 3 && out != NULL; i++) {
        if (families & names[i]) {
            out = put_counter(out, counters[i]);
        }
    }
    return out;
}

/* The state as JSON, to be freed; NULL when memory is out. */
static uint8_t *dump_state(const summary_state *state, size_t *length) {
    ranked *order = sorted_groups(state);
    size_t size = 4096, used = 0;
    uint8_t *out = malloc(size), *end;
    if (order == NULL || out == NULL) {
        goto failed;
    }
    out[used++] = '[';
    for (uint32_t i = 0; i < state->count; i++) {
        if (state->groups[order[i].number].count == 0) {
            continue;
        }
        const family_group *further = state->families != 0 ? &state->family_groups[order[i].number] : NULL;
        size_t bound = row_bound(state, order[i].number) + (further != NULL ? families_bound(further) : 0) + 8;
        if (reserve((void **)&out, &size, used, bound, 1) < 0) {
            goto failed;
        }
        if (used != 1) {
            out[used++] = ',';
            out[used++] = ' ';
        }
        end = put_group(out + used, state, order[i].number);
        if (further != NULL) {
            end = put_families(end, further, state->families);
            if (end == NULL) {
                goto failed;
            }
        }
        *end++ = ']';
        used = (size_t)(end - out);
    }
    out[used++] = ']';
    free(order);
    *length = used;
    return out;
failed:
    free(order);
    free(out);
    return NULL;
}

#endif
