/* Plans: a table's description and its header, compiled, and what the fields of a row come to under one.
 *
 * Rules: as mockexport/formats/decoding.py and values.py have it; what is not plainly a time, an id or a number is for the
 * reference to judge. Where fields end is no business of this (described.h). A plan is one scan's, as rows are read into it.
 */
#ifndef MOCKEXPORT_PLAN_H
#define MOCKEXPORT_PLAN_H

#include "bounds.h"
#include "rows.h"
#include "times.h"

/* Texts that are put together of several: no row of a block can need more, but for a column that is named twice. */
#define SCRATCH_BYTES (2 * BLOCK_BYTES)
/* A longer number is left to the reference, where numbers are not written the usual way. */
#define MAX_NUMBER_BYTES 48

/* Where a text of a row comes from: some of the plan's fields, joined by spaces, or a constant. */
typedef struct {
    uint32_t count;
    const uint32_t *fields;
    text constant;
} plan_part;

/* A value of a row, and its type in a wide table. */
typedef struct {
    plan_part from;
    text type;
} plan_value;

/* What a field must be for a row to be wanted: one of the first `any_count` texts, if `has_any`, and none of the rest. */
typedef struct {
    uint32_t field, any_count, count;
    int has_any;
    const text *texts;
} plan_condition;

/* Where times follow from the rows' places (formats/sampled.py): that of the next row, and the steps to those behind it. */
typedef struct {
    int64_t next_us, step_us;
    uint64_t rest, step_rest, rate; /* µs are whole, and these are what is left, of `rate` parts */
    uint64_t count;                 /* of rows since it was told */
} sample_clock;

/* A text that stands for a number, or, if that is NOT_PLAIN, for "no value". */
typedef struct {
    text is;
    int64_t value;
    wide apart;
} plan_word;

enum { NOTE_NONE, NOTE_DATES, NOTE_CENSORED, NOTE_BOUND, NOTE_TEXT, NOTES };
enum { CENSORED_LEFT_OUT, CENSORED_BOUND, CENSORED_BAD };
enum { CELL_NONE, CELL_MISSING, CELL_NUMBER };

typedef struct {
    int64_t value;
    wide apart; /* if `value` is WIDE */
    uint8_t kind, note;
} plan_cell;

typedef struct kept_room {
    struct kept_room *next;
    _Alignas(16) uint8_t bytes[];
} kept_room;

typedef struct plan {
    kept_room *kept; /* all that is pointed at */
    int knows_none;  /* what is described can be read by the reference alone */
    uint32_t width;  /* columns of a row */
    uint32_t field_count;
    const uint32_t *places; /* of the fields that are looked at, ascending */
    text *fields;           /* those of the row at hand */
    plan_part patient, time, type, unit;
    int has_unit, is_wide;
    uint32_t value_count;
    const plan_value *values;
    plan_cell *cells; /* the values of the row at hand, */
    text *types;      /* and their types, in a wide table */
    uint32_t condition_count;
    const plan_condition *conditions;
    time_formats times;
    int dates_noted;
    int is_sampled;
    sample_clock clock;
    uint8_t decimal;
    uint32_t group_count; /* what may group digits */
    const text *groups;
    uint32_t word_count;
    const plan_word *words;
    uint8_t begins_word[256], in_number[256], is_blank[256]; /* what only may be a blank, if it is no delimiter */
    int censored, text_is_missing;
    uint8_t *scratch;
    size_t scratch_used;
    uint8_t marks[BLOCK_BYTES / 64 + 2];
    uint64_t odd; /* rows of a block for which the plain reader would have had to ask */
} plan;

/* Memory of so many items, all zeros, that lives as long as the plan; NULL when memory is out. */
static void *plan_room(plan *of, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - sizeof(kept_room) - PADDING) {
        return NULL;
    }
    kept_room *room = calloc(1, sizeof *room + bytes + PADDING);
    if (room == NULL) {
        return NULL;
    }
    room->next = of->kept;
    of->kept = room;
    return room->bytes;
}

static void free_plan(plan *of) {
    while (of->kept != NULL) {
        kept_room *next = of->kept->next;
        free(of->kept);
        of->kept = next;
    }
}

/* Make ready what follows from the rest: 0, or -1 when memory is out. */
static int begin_plan(plan *of) {
    of->fields = plan_room(of, of->field_count, sizeof *of->fields);
    of->cells = plan_room(of, of->value_count, sizeof *of->cells);
    of->types = plan_room(of, of->value_count, sizeof *of->types);
    of->scratch = plan_room(of, SCRATCH_BYTES, 1);
    for (uint32_t i = 0; of->types != NULL && i < of->value_count; i++) {
        of->types[i] = of->values[i].type;
    }
    for (uint32_t i = 0; i < of->word_count; i++) {
        if (of->words[i].is.length != 0) {
            of->begins_word[of->words[i].is.at[0]] = 1;
        }
    }
    of->is_blank[' '] = of->is_blank['\t'] = 1;
    for (const char *sign = "0123456789+-eE., \t'"; *sign != 0; sign++) {
        of->in_number[(uint8_t)*sign] = 1;
    }
    for (int byte = 0x80; byte < 0x100; byte++) {
        of->in_number[byte] = 1;
    }
    return of->fields == NULL || of->cells == NULL || of->types == NULL || of->scratch == NULL ? -1 : 0;
}

/* Whether two texts are the same; behind both there are PADDING readable bytes. */
static inline int is_text_like(text one, text other) {
    if (one.length != other.length) {
        return 0;
    }
    return one.length <= 8 ? keep_bytes(load64(one.at) ^ load64(other.at), one.length) == 0
                           : memcmp(one.at, other.at, one.length) == 0;
}

static inline void step_clock(sample_clock *clock) {
    clock->next_us += clock->step_us;
    clock->rest += clock->step_rest;
    if (clock->rest >= clock->rate) {
        clock->rest -= clock->rate;
        clock->next_us++;
    }
    clock->count++;
}

/* Put bytes behind what is in the scratch already: whether there was room. */
static inline int put_scratch(plan *of, const uint8_t *at, size_t length) {
    if (SCRATCH_BYTES - of->scratch_used < length) {
        return 0;
    }
    memcpy(of->scratch + of->scratch_used, at, length);
    of->scratch_used += length;
    return 1;
}

/* Several fields, those that are not empty, joined by spaces; `at` is NULL where there is no room. */
static __attribute__((noinline)) text join_fields(plan *of, const plan_part *part) {
    text only = {of->scratch, 0};
    const size_t begin = of->scratch_used;
    uint32_t joined = 0;
    for (uint32_t i = 0; i < part->count; i++) {
        const text field = of->fields[part->fields[i]];
        if (field.length == 0) {
            continue;
        }
        if (joined == 1 && !put_scratch(of, only.at, only.length)) {
            return (text){NULL, 0};
        }
        if (joined++ == 0) {
            only = field; /* the one that there is stays where it is */
        } else if (!put_scratch(of, (const uint8_t *)" ", 1) || !put_scratch(of, field.at, field.length)) {
            return (text){NULL, 0};
        }
    }
    return joined < 2 ? only : (text){of->scratch + begin, (uint32_t)(of->scratch_used - begin)};
}

static inline text text_of(plan *of, const plan_part *part) {
    return part->count == 1 ? of->fields[part->fields[0]] : part->count == 0 ? part->constant : join_fields(of, part);
}

/* A type with its unit, as `type [unit]`; `at` is NULL where there is no room. */
static __attribute__((noinline)) text with_unit(plan *of, text type, text unit) {
    const size_t begin = of->scratch_used;
    if (!put_scratch(of, type.at, type.length) || !put_scratch(of, (const uint8_t *)" [", 2) ||
        !put_scratch(of, unit.at, unit.length) || !put_scratch(of, (const uint8_t *)"]", 1)) {
        return (text){NULL, 0};
    }
    return (text){of->scratch + begin, (uint32_t)(of->scratch_used - begin)};
}

/* What groups digits, at the beginning of a text: how long it is, or 0. */
static inline uint32_t find_group(const plan *of, const uint8_t *at, const uint8_t *end) {
    for (uint32_t i = 0; i < of->group_count; i++) {
        const text group = of->groups[i];
        if ((size_t)(end - at) >= group.length && memcmp(at, group.at, group.length) == 0) {
            return group.length;
        }
    }
    return 0;
}

/* Read a number that may be grouped, and whose decimal character is the plan's. */
static __attribute__((noinline)) int64_t read_grouped(const plan *of, text number, wide *apart) {
    uint8_t plain[MAX_NUMBER_BYTES + PADDING];
    const uint8_t *at = number.at, *end = at + number.length;
    uint32_t used = 0, run = 0, groups = 0;
    if (number.length > MAX_NUMBER_BYTES) {
        return NOT_PLAIN;
    }
    memset(plain, 0, sizeof plain);
    if (at < end && (*at == '-' || *at == '+')) {
        plain[used++] = *at++;
    }
    for (uint32_t group; at < end;) {
        if (is_digit(*at)) {
            plain[used++] = *at++;
            run++;
        } else if ((group = find_group(of, at, end)) != 0) {
            if (groups == 0 ? run < 1 || run > 3 : run != 3) {
                return NOT_PLAIN;
            }
            groups++;
            run = 0;
            at += group;
        } else {
            break;
        }
    }
    if (groups != 0 && run != 3) {
        return NOT_PLAIN;
    }
    if (at < end && *at == of->decimal) {
        plain[used++] = '.';
        at++;
    }
    for (; at < end; at++) {
        if (!is_digit(*at) && *at != 'e' && *at != 'E' && *at != '+' && *at != '-') {
            return NOT_PLAIN;
        }
        plain[used++] = *at;
    }
    return used == 0 ? NOT_PLAIN : read_value(plain, used, apart);
}

/* Read a number with a decimal comma. */
static inline int64_t read_with_comma(const plan *of, text number, wide *apart) {
    uint8_t plain[8 + PADDING];
    if (number.length > 8) {
        return read_grouped(of, number, apart);
    }
    /* All bytes but the number's own are zeros, and a point is none of them. */
    const uint64_t each = 0x0101010101010101ULL, word = keep_bytes(load64(number.at), number.length);
    if (zero_bytes(word ^ '.' * each) != 0) {
        return NOT_PLAIN;
    }
    const uint64_t point = word ^ (zero_bytes(word ^ ',' * each) >> 7) * (',' ^ '.');
    memset(plain + 8, 0, sizeof plain - 8);
    memcpy(plain, &point, 8);
    return read_value(plain, number.length, apart);
}

static inline int64_t read_number(const plan *of, text number, wide *apart) {
    if (of->group_count != 0) {
        return read_grouped(of, number, apart);
    }
    return of->decimal == '.' ? read_value(number.at, number.length, apart) : read_with_comma(of, number, apart);
}

/* Read what is no number: such as <0.6, or a word; 1, or 0 if that is for the reference to judge. */
static __attribute__((noinline)) int read_otherwise(const plan *of, text field, plan_cell *into) {
    const uint8_t *at = field.at, *end = at + field.length;
    const int is_sign = *at == '<' || *at == '>';
    if (is_sign || *at == 0xE2) { /* that is what ≤ and ≥ begin with */
        if (of->censored == CENSORED_BAD || !is_sign) {
            return 0;
        }
        at += end - at > 1 && at[1] == '=' ? 2 : 1;
        while (at < end && (*at == ' ' || *at == '\t')) {
            at++;
        }
        if (at == end) {
            return 0;
        }
        into->value = read_number(of, (text){at, (uint32_t)(end - at)}, &into->apart);
        into->kind = of->censored == CENSORED_BOUND ? CELL_NUMBER : CELL_MISSING;
        into->note = of->censored == CENSORED_BOUND ? NOTE_BOUND : NOTE_CENSORED;
        return into->value != NOT_PLAIN;
    }
    if (of->text_is_missing) {
        for (; at < end; at++) {
            if (!of->in_number[*at]) {
                into->kind = CELL_MISSING;
                into->note = NOTE_TEXT;
                return 1;
            }
        }
    }
    return 0;
}

/* Read a value: 1, or 0 if it is for the reference to judge. */
static inline int read_cell(const plan *of, const row_scan *scan, text field, plan_cell *into) {
    into->note = NOTE_NONE;
    into->kind = CELL_MISSING;
    if (field.length == 0) {
        return 1;
    }
    if (__builtin_expect(of->begins_word[field.at[0]], 0)) {
        for (uint32_t i = 0; i < of->word_count; i++) {
            if (is_text_like(field, of->words[i].is)) {
                into->value = of->words[i].value;
                into->apart = of->words[i].apart;
                into->kind = into->value == NOT_PLAIN ? CELL_MISSING : CELL_NUMBER;
                return 1;
            }
        }
    }
    into->value = read_number(of, field, &into->apart);
    if (__builtin_expect(into->value == NOT_PLAIN, 0)) {
        return read_otherwise(of, field, into);
    }
    if (scan->null_number_count == 0 || !is_null_number(scan, into->value, into->apart)) {
        into->kind = CELL_NUMBER;
    }
    return 1;
}

/* Whether the row at hand is one of those that are wanted. */
static inline int is_wanted(const plan *of) {
    for (uint32_t i = 0; i < of->condition_count; i++) {
        const plan_condition *condition = &of->conditions[i];
        const text field = of->fields[condition->field];
        uint32_t like = 0;
        while (like < condition->count && !is_text_like(field, condition->texts[like])) {
            like++;
        }
        /* A text that may be and may not be is not. */
        for (uint32_t other = condition->any_count; like < condition->any_count && other < condition->count; other++) {
            if (is_text_like(field, condition->texts[other])) {
                return 0;
            }
        }
        if (like < condition->count ? like >= condition->any_count : condition->has_any) {
            return 0;
        }
    }
    return 1;
}

#endif
