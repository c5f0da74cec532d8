/* The state of `Summary`, compiled: patients, event types, and a group of exact sums for every pair that has values; and
 * for `Selection`, what it keeps of that group besides (families.h).
 * A pair that had rows, but none that was asked for, has a group too, of count 0: it is no part of what a state says.
 *
 * Rules: no Python, no parsing. Ids are interned: numbered by first appearance, never forgotten, so that a caller may
 * remember "the first n". A lookup costs the same from four groups to four million: a slot of eight bytes, the group,
 * and the ids to prove that it is the right one; each can be fetched ahead for rows to come.
 *
 * Every function that allocates returns 0 or a valid number on success, and a negative number when memory is out;
 * NO_ID where the bytes are no id.
 */
#ifndef MOCKEXPORT_STATE_H
#define MOCKEXPORT_STATE_H

#include "families.h"
#include "index.h"
#include "room.h"

/* A longer id is no id (formats.fields.MAX_ID_BYTES). */
#define MAX_ID_BYTES 256
/* Ids up to this length are held in their record; longer ones in the arena. */
#define SHORT_ID_BYTES 16
#define NONE UINT32_MAX
#define NO_ID (-2)

/* An id as it is compared: its bytes, zeros behind them, or, for a long one, its hash; and its length. */
typedef struct {
    uint64_t low, high;
    uint64_t form;  /* length, and PLAIN if a field may hold the id without quotes and be right */
    uint64_t place; /* of a long one in the arena */
} id_record;

#define PLAIN (1ULL << 32)

typedef struct {
    id_record *records;
    uint32_t count;
    size_t capacity;
    uint64_t *slots; /* hash << 32 | number + 1; 0 is free */
    unsigned bits;   /* log2 of the number of slots */
    uint8_t *arena;
    size_t used, size;
} id_table;

/* 80 bytes; numbers of values are those of narrow ones (wide.h), but for count and anomalies. The sum's halves are apart
 * because a 128-bit integer would be aligned, and cost another eight. */
typedef struct {
    uint32_t patient, type;
    uint64_t count;
    uint64_t total_low;
    uint64_t total_high;
    int64_t low, high;
    uint64_t anomalies;
    int64_t first_us, last_us;
    wide_part *apart; /* what is kept of the wide values; NULL if there are none */
} group;

typedef struct {
    wide low, high;
} bounds;

/* Bounds as they are asked about: a narrow value is an anomaly if (value - low), without a sign, is above `width`. */
typedef struct {
    uint64_t low, width;
} normal_range;

typedef struct {
    id_table patients, types;
    normal_range *normal; /* by number of the event type */
    size_t normal_capacity;
    id_table ruled; /* the event types that have a rule, and their rules */
    bounds *rules;
    group *groups;
    uint32_t count;
    size_t capacity;
    uint64_t *slots;
    unsigned bits;
    unsigned families;           /* those that are kept */
    family_group *family_groups; /* by number of the group, if there are any */
    size_t family_capacity;
} summary_state;

/* The least number of slots: 8 KiB. With few groups two hardly ever meet, and a look-up that is always right at once
 * is one that the processor guesses right. */
#define LEAST_BITS 10

/* Whether a table of 2^bits slots is too full for `count` numbers: three quarters, where memory counts. */
static inline int is_crowded(uint32_t count, unsigned bits) {
    return (uint64_t)count * 4 >= (1ULL << bits) * 3;
}

/* ---- ids ---- */

static const uint64_t kept_low[SHORT_ID_BYTES + 1] = {
    0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFF, 0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF,
    ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL};
static const uint64_t kept_high[SHORT_ID_BYTES + 1] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0,
    0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFF, 0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF, ~0ULL};

static uint64_t hash_bytes(const uint8_t *bytes, uint32_t length) {
    uint64_t hash = mix(length ^ hash_key[0], hash_key[1]);
    uint32_t at = 0;
    for (; length - at >= 8; at += 8) {
        hash = mix(hash ^ load64(bytes + at), hash_key[1]);
    }
    uint64_t rest = 0;
    memcpy(&rest, bytes + at, length - at);
    return mix(hash ^ rest, hash_key[0]);
}

/* What a look-up compares; `at` must be followed by PADDING readable bytes. */
static inline void id_words(const uint8_t *at, uint32_t length, uint64_t *low, uint64_t *high) {
    if (__builtin_expect(length <= SHORT_ID_BYTES, 1)) {
        *low = load64(at) & kept_low[length];
        *high = load64(at + 8) & kept_high[length];
    } else {
        *low = hash_bytes(at, length);
        *high = 0;
    }
}

static inline uint32_t id_hash(uint64_t low, uint64_t high, uint32_t length) {
    return (uint32_t)(mix(low ^ hash_key[0], high ^ length ^ hash_key[1]) >> 32);
}

static inline uint32_t id_length(const id_record *record) {
    return (uint32_t)record->form;
}

static inline int is_plain(const id_record *record) {
    return (record->form & PLAIN) != 0;
}

static inline int same_id(const id_table *table, const id_record *record, uint64_t low, uint64_t high, uint32_t length,
                          const uint8_t *bytes) {
    return record->low == low && record->high == high && id_length(record) == length &&
           (length <= SHORT_ID_BYTES || memcmp(table->arena + record->place, bytes, length) == 0);
}

/* The id's bytes; those of a short one are in the record itself. */
static inline const uint8_t *id_bytes(const id_table *table, uint32_t number) {
    const id_record *record = &table->records[number];
    return id_length(record) <= SHORT_ID_BYTES ? (const uint8_t *)record : table->arena + record->place;
}

/* Where the slots of a hash begin: its upper bits, which are the best mixed. */
static inline uint32_t slot_of(uint32_t hash, unsigned bits) {
    return (uint32_t)((uint64_t)hash >> (32 - bits));
}

static uint32_t find_id(const id_table *table, uint64_t low, uint64_t high, uint32_t length, const uint8_t *bytes) {
    if (table->count == 0) {
        return NONE;
    }
    uint32_t hash = id_hash(low, high, length), last = (uint32_t)((1ULL << table->bits) - 1);
    for (uint32_t slot = slot_of(hash, table->bits);; slot = (slot + 1) & last) {
        uint64_t entry = table->slots[slot];
        if (entry == 0) {
            return NONE;
        }
        if ((uint32_t)(entry >> 32) == hash) {
            uint32_t number = (uint32_t)entry - 1;
            if (same_id(table, &table->records[number], low, high, length, bytes)) {
                return number;
            }
        }
    }
}

/* Grow `*slots` to 2^bits and put every entry in its new place. */
static int regrow_slots(uint64_t **slots, unsigned *bits, unsigned wanted) {
    if (wanted > 31) {
        return -1;
    }
    uint64_t *grown = calloc((size_t)1 << wanted, sizeof *grown);
    if (grown == NULL) {
        return -1;
    }
    uint32_t last = (uint32_t)((1ULL << wanted) - 1);
    if (*slots != NULL) {
        for (size_t old = 0; old < (size_t)1 << *bits; old++) {
            if ((*slots)[old] != 0) {
                uint32_t slot = slot_of((uint32_t)((*slots)[old] >> 32), wanted);
                while (grown[slot] != 0) {
                    slot = (slot + 1) & last;
                }
                grown[slot] = (*slots)[old];
            }
        }
        free(*slots);
    }
    *slots = grown;
    *bits = wanted;
    return 0;
}

static int put_slot(uint64_t **slots, unsigned *bits, uint32_t count, uint32_t hash) {
    if (*slots == NULL || is_crowded(count + 1, *bits)) {
        if (regrow_slots(slots, bits, *slots == NULL ? LEAST_BITS : *bits + 1) < 0) {
            return -1;
        }
    }
    uint32_t last = (uint32_t)((1ULL << *bits) - 1), slot = slot_of(hash, *bits);
    while ((*slots)[slot] != 0) {
        slot = (slot + 1) & last;
    }
    (*slots)[slot] = (uint64_t)hash << 32 | (count + 1);
    return 0;
}

/* Give an id that is not in the table its number; NO_ID if it is empty or too long. */
static int64_t add_id(id_table *table, uint64_t low, uint64_t high, uint32_t length, const uint8_t *bytes, int plain) {
    if (length == 0 || length > MAX_ID_BYTES) {
        return NO_ID;
    }
    if (reserve((void **)&table->records, &table->capacity, table->count, 1, sizeof *table->records) < 0) {
        return -1;
    }
    if (length > SHORT_ID_BYTES) {
        if (reserve((void **)&table->arena, &table->size, table->used, length, 1) < 0) {
            return -1;
        }
        memcpy(table->arena + table->used, bytes, length);
    }
    if (put_slot(&table->slots, &table->bits, table->count, id_hash(low, high, length)) < 0) {
        return -1;
    }
    table->records[table->count] = (id_record){low, high, length | (plain ? PLAIN : 0), table->used};
    if (length > SHORT_ID_BYTES) {
        table->used += length;
    }
    return table->count++;
}

static void free_ids(id_table *table) {
    free(table->records);
    free(table->slots);
    free(table->arena);
}

/* ---- is it an id? ---- */

/* The length of the UTF-8 sequence at the start of `size` bytes, or 0: as RFC 3629 has it, so no surrogates, no
 * overlong forms, nothing beyond U+10FFFF. */
static inline uint32_t utf8_sequence(const uint8_t *at, size_t size) {
    uint8_t first = at[0];
    if (first < 0x80) {
        return 1;
    }
    uint32_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || size < length) {
        return 0;
    }
    for (uint32_t i = 1; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    if ((first == 0xE0 && at[1] < 0xA0) || (first == 0xED && at[1] > 0x9F) || (first == 0xF0 && at[1] < 0x90) ||
        (first == 0xF4 && at[1] > 0x8F)) {
        return 0;
    }
    return length;
}

/* Whether a field may hold these bytes without quotes: UTF-8, no quote, no NUL. (Delimiters and line ends it cannot
 * hold: it was cut at them.) */
static int is_plain_text(const uint8_t *bytes, size_t length) {
    const uint64_t quotes = '"' * 0x0101010101010101ULL;
    for (size_t at = 0; at < length;) {
        uint64_t word;
        if (length - at >= 8 && ((word = load64(bytes + at)) & 0x8080808080808080ULL) == 0 &&
            (zero_bytes(word) | zero_bytes(word ^ quotes)) == 0) {
            at += 8;
            continue;
        }
        if (bytes[at] == '"' || bytes[at] == 0) {
            return 0;
        }
        uint32_t step = utf8_sequence(bytes + at, length - at);
        if (step == 0) {
            return 0;
        }
        at += step;
    }
    return 1;
}

/* Whether a field may hold an id without quotes and be right: it is text, and no blanks stand at its ends, which would be
 * no part of it. */
static int is_plain_id(const uint8_t *bytes, size_t length) {
    const uint8_t first = length == 0 ? 0 : bytes[0], last = length == 0 ? 0 : bytes[length - 1];
    return first != ' ' && first != '\t' && last != ' ' && last != '\t' && is_plain_text(bytes, length);
}

/* ---- groups ---- */

/* One multiplication for both ids: rows are many. */
static inline uint32_t pair_hash(uint64_t patient_low, uint64_t patient_high, uint64_t type_low, uint64_t type_high) {
    return (uint32_t)(mix(patient_low ^ (type_high << 31 | type_high >> 33) ^ hash_key[0],
                          type_low ^ (patient_high << 31 | patient_high >> 33) ^ hash_key[1]) >> 32);
}

static int64_t clipped(wide number) {
    return number < INT64_MIN ? INT64_MIN : number > INT64_MAX ? INT64_MAX : (int64_t)number;
}

static normal_range range_of(bounds rule) {
    /* Inwards to the next narrow value. */
    wide low = rule.low / UNIT + (rule.low % UNIT > 0), high = rule.high / UNIT - (rule.high % UNIT < 0);
    if (low > high) {
        return (normal_range){(uint64_t)INT64_MIN, 0}; /* no narrow value is normal */
    }
    return (normal_range){(uint64_t)clipped(low), (uint64_t)clipped(high) - (uint64_t)clipped(low)};
}

static inline uint64_t is_anomaly(const normal_range *normal, int64_t value) {
    return (uint64_t)value - normal->low > normal->width;
}

/* Wide values are few enough for their rule to be looked up. */
static uint64_t is_wide_anomaly(const summary_state *state, uint32_t type, wide value) {
    const id_record *record = &state->types.records[type];
    uint32_t rule = find_id(&state->ruled, record->low, record->high, id_length(record), id_bytes(&state->types, type));
    return rule != NONE && (value < state->rules[rule].low || value > state->rules[rule].high);
}

/* The number of an event type, new or known; a new one is given its bounds. */
static int64_t intern_type(summary_state *state, uint64_t low, uint64_t high, uint32_t length, const uint8_t *bytes,
                           int plain) {
    uint32_t known = find_id(&state->types, low, high, length, bytes);
    if (known != NONE) {
        return known;
    }
    if (reserve((void **)&state->normal, &state->normal_capacity, state->types.count, 1, sizeof *state->normal) < 0) {
        return -1;
    }
    int64_t number = add_id(&state->types, low, high, length, bytes, plain);
    if (number >= 0) {
        uint32_t rule = find_id(&state->ruled, low, high, length, bytes);
        state->normal[number] = range_of(rule == NONE ? (bounds){-WIDE_END, WIDE_END} : state->rules[rule]);
    }
    return number;
}

static int64_t intern_patient(summary_state *state, uint64_t low, uint64_t high, uint32_t length, const uint8_t *bytes,
                              int plain) {
    uint32_t known = find_id(&state->patients, low, high, length, bytes);
    return known != NONE ? known : add_id(&state->patients, low, high, length, bytes, plain);
}

/* Room for what is kept of one more group besides, and nothing in it. */
static int make_family_room(summary_state *state) {
    if (state->families == 0) {
        return 0;
    }
    if (reserve((void **)&state->family_groups, &state->family_capacity, state->count, 1,
                sizeof *state->family_groups) < 0) {
        return -1;
    }
    memset(&state->family_groups[state->count], 0, sizeof *state->family_groups);
    return 0;
}

/* The group of two numbered ids, made empty if there is none. */
static int64_t intern_group(summary_state *state, uint32_t patient, uint32_t type) {
    const id_record *of_patient = &state->patients.records[patient], *of_type = &state->types.records[type];
    uint32_t hash = pair_hash(of_patient->low, of_patient->high, of_type->low, of_type->high);
    uint32_t last = (uint32_t)((1ULL << state->bits) - 1);
    for (uint32_t slot = slot_of(hash, state->bits); state->slots[slot] != 0; slot = (slot + 1) & last) {
        if ((uint32_t)(state->slots[slot] >> 32) == hash) {
            uint32_t number = (uint32_t)state->slots[slot] - 1;
            if (state->groups[number].patient == patient && state->groups[number].type == type) {
                return number;
            }
        }
    }
    if (reserve((void **)&state->groups, &state->capacity, state->count, 1, sizeof *state->groups) < 0 ||
        make_family_room(state) < 0 ||
        put_slot(&state->slots, &state->bits, state->count, hash) < 0) {
        return -1;
    }
    state->groups[state->count] =
        (group){patient, type, 0, 0, 0, INT64_MAX, INT64_MIN, 0, INT64_MAX, INT64_MIN, NULL};
    return state->count++;
}

static inline void add_total(group *into, uint64_t low, uint64_t high) {
    unsigned __int128 total = (unsigned __int128)into->total_high << 64 | into->total_low;
    total += (unsigned __int128)high << 64 | low;
    into->total_low = (uint64_t)total;
    into->total_high = (uint64_t)(total >> 64);
}

/* What is kept of a group's wide values, made empty if there is nothing; NULL when memory is out. */
static wide_part *make_apart(group *of) {
    if (of->apart == NULL && (of->apart = calloc(1, sizeof *of->apart)) != NULL) {
        of->apart->low = WIDE_END;
        of->apart->high = -WIDE_END;
    }
    return of->apart;
}

/* Add a wide value to a group, but for what families keep of it: 0, or -1 when memory is out. */
static int add_wide(const summary_state *state, group *into, int64_t time_us, wide value) {
    wide_part *apart = make_apart(into);
    big number = big_of(value);
    if (apart == NULL) {
        return -1;
    }
    add_big(&apart->total, &number);
    apart->low = value < apart->low ? value : apart->low;
    apart->high = value > apart->high ? value : apart->high;
    into->count++;
    into->anomalies += is_wide_anomaly(state, into->type, value);
    into->first_us = time_us < into->first_us ? time_us : into->first_us;
    into->last_us = time_us > into->last_us ? time_us : into->last_us;
    return 0;
}

/* Add a wide value to a group by its number: 0, or -1 when memory is out. */
static __attribute__((noinline)) int add_wide_value(summary_state *state, int64_t number, int64_t time_us, wide value) {
    group *into = &state->groups[number];
    if (add_wide(state, into, time_us, value) < 0) {
        return -1;
    }
    return state->families == 0 ? 0
                                : add_wide_to_families(&state->family_groups[number], into->apart, state->families,
                                                       time_us, value);
}

static big narrow_total(const group *of) {
    return big_of((wide)((wide_size)of->total_high << 64 | of->total_low));
}

/* The sum of all values of a group, narrow and wide. */
static big total_of(const group *of) {
    big total = narrow_total(of);
    scale_big(&total, UNIT);
    if (of->apart != NULL) {
        add_big(&total, &of->apart->total);
    }
    return total;
}

/* The least of all values of a group, which has some. */
static wide low_of(const group *of) {
    wide narrow = of->low <= of->high ? (wide)of->low * UNIT : WIDE_END;
    return of->apart != NULL && of->apart->low < narrow ? of->apart->low : narrow;
}

static wide high_of(const group *of) {
    wide narrow = of->low <= of->high ? (wide)of->high * UNIT : -WIDE_END;
    return of->apart != NULL && of->apart->high > narrow ? of->apart->high : narrow;
}

/* The sum of the squares of all values of a group. */
static big squares_of(const group *of, const family_group *kept) {
    big squares = {{kept->squares[0], kept->squares[1], kept->squares[2]}};
    scale_big(&squares, UNIT);
    scale_big(&squares, UNIT);
    if (of->apart != NULL) {
        add_big(&squares, &of->apart->squares);
    }
    return squares;
}

/* Add a group, but for what families keep of it: 0, or -1 when memory is out. */
static inline int add_group(group *into, const group *from) {
    if (from->apart != NULL) {
        wide_part *apart = make_apart(into);
        if (apart == NULL) {
            return -1;
        }
        add_big(&apart->total, &from->apart->total);
        apart->low = from->apart->low < apart->low ? from->apart->low : apart->low;
        apart->high = from->apart->high > apart->high ? from->apart->high : apart->high;
    }
    into->count += from->count;
    add_total(into, from->total_low, from->total_high);
    into->low = from->low < into->low ? from->low : into->low;
    into->high = from->high > into->high ? from->high : into->high;
    into->anomalies += from->anomalies;
    into->first_us = from->first_us < into->first_us ? from->first_us : into->first_us;
    into->last_us = from->last_us > into->last_us ? from->last_us : into->last_us;
    return 0;
}

/* Add the groups of `later` to `earlier`, which may not be the same state, but is one of the same families. */
static int merge_states(summary_state *earlier, const summary_state *later) {
    int result = -1;
    uint32_t *patients = malloc(((size_t)later->patients.count + 1) * sizeof *patients);
    uint32_t *types = malloc(((size_t)later->types.count + 1) * sizeof *types);
    if (patients == NULL || types == NULL) {
        goto done;
    }
    /* Ids are looked up once each, not once per group. */
    for (uint32_t i = 0; i < later->patients.count; i++) {
        const id_record *record = &later->patients.records[i];
        int64_t number = intern_patient(earlier, record->low, record->high, id_length(record),
                                        id_bytes(&later->patients, i), is_plain(record));
        if (number < 0) {
            goto done;
        }
        patients[i] = (uint32_t)number;
    }
    for (uint32_t i = 0; i < later->types.count; i++) {
        const id_record *record = &later->types.records[i];
        int64_t number = intern_type(earlier, record->low, record->high, id_length(record), id_bytes(&later->types, i),
                                     is_plain(record));
        if (number < 0) {
            goto done;
        }
        types[i] = (uint32_t)number;
    }
    for (uint32_t i = 0; i < later->count; i++) {
        const group *from = &later->groups[i];
        if (from->count == 0) {
            continue;
        }
        int64_t number = intern_group(earlier, patients[from->patient], types[from->type]);
        if (number < 0) {
            goto done;
        }
        if (add_group(&earlier->groups[number], from) < 0 ||
            (earlier->families != 0 &&
             merge_families(&earlier->family_groups[number], earlier->groups[number].apart, &later->family_groups[i],
                            from->apart) < 0)) {
            goto done;
        }
    }
    result = 0;
done:
    free(patients);
    free(types);
    return result;
}

/* Make a state, all zeros so far, fit for use. */
static int begin_state(summary_state *state) {
    return regrow_slots(&state->slots, &state->bits, LEAST_BITS);
}

static void free_groups(group *groups, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (groups[i].apart != NULL) {
            free(groups[i].apart->values);
            free(groups[i].apart);
        }
    }
    free(groups);
}

static void free_state(summary_state *state) {
    free_ids(&state->patients);
    free_ids(&state->types);
    free_ids(&state->ruled);
    free(state->normal);
    free(state->rules);
    if (state->families != 0) {
        free_families(state->family_groups, state->count);
    }
    free_groups(state->groups, state->count);
    free(state->slots);
}

#endif
