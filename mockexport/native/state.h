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
#include "ids.h"

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
    into->total_high += high + (uint64_t)__builtin_add_overflow(into->total_low, low, &into->total_low);
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
                                                       time_us, value, is_wide_anomaly(state, into->type, value));
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
