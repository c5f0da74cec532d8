/* How far in time each group of a state reaches, in a form in which the states of many downloads are compared.
 *
 * Rules: reducers/reach.py is the law; the same groups have the same bytes. Groups without values are left out.
 */
#ifndef MOCKEXPORT_REACH_H
#define MOCKEXPORT_REACH_H

#include <stdlib.h>

#include "state.h"

typedef struct {
    uint64_t name; /* FNV-1a of the patient, a zero and the event type */
    int64_t first_us, last_us;
} reach;

static inline uint64_t fnv1a(uint64_t hash, const uint8_t *bytes, uint32_t length) {
    for (uint32_t at = 0; at < length; at++) {
        hash = (hash ^ bytes[at]) * 0x100000001B3ULL;
    }
    return hash;
}

static int compare_reaches(const void *one, const void *other) {
    const reach *a = one, *b = other;
    if (a->name != b->name) {
        return a->name < b->name ? -1 : 1;
    }
    return a->first_us != b->first_us ? (a->first_us < b->first_us ? -1 : 1)
                                      : (a->last_us > b->last_us) - (a->last_us < b->last_us);
}

/* Names are spread evenly: put where their first 16 bits say, some few are left to be sorted by comparing. */
#define PLACES 65536u
#define MANY_REACHES 8192u

/* Sort `count` reaches from `from` to `to`, ascending; `begins` has PLACES + 1 zeros. */
static void spread_reaches(const reach *from, reach *to, uint32_t count, uint32_t *begins) {
    for (uint32_t i = 0; i < count; i++) {
        begins[(from[i].name >> 48) + 1]++;
    }
    for (uint32_t place = 0; place < PLACES; place++) {
        begins[place + 1] += begins[place];
    }
    for (uint32_t i = 0; i < count; i++) {
        to[begins[from[i].name >> 48]++] = from[i];
    }
    /* Now each place begins where the one before it began, plus what that holds: at its end. */
    for (uint32_t place = 0, begin = 0; place < PLACES; begin = begins[place++]) {
        qsort(to + begin, begins[place] - begin, sizeof(reach), compare_reaches);
    }
}

/* Put how far all groups reach into `out`; return how many groups there are. */
static uint32_t reach_of_all(const summary_state *state, reach *out) {
    uint32_t groups = 0;
    *out = (reach){0, INT64_MAX, INT64_MIN};
    for (uint32_t i = 0; i < state->count; i++) {
        const group *held = &state->groups[i];
        if (held->count != 0) {
            groups++;
            out->first_us = held->first_us < out->first_us ? held->first_us : out->first_us;
            out->last_us = held->last_us > out->last_us ? held->last_us : out->last_us;
        }
    }
    return groups;
}

/* Write the reaches of a state, ascending, to `out`, which has room for all its groups; return how many there are. */
static uint32_t write_reaches(const summary_state *state, reach *out) {
    uint32_t written = 0;
    for (uint32_t i = 0; i < state->count; i++) {
        const group *held = &state->groups[i];
        if (held->count == 0) {
            continue;
        }
        uint64_t hash = fnv1a(0xCBF29CE484222325ULL, id_bytes(&state->patients, held->patient),
                              id_length(&state->patients.records[held->patient]));
        hash = fnv1a(hash, (const uint8_t *)"", 1);
        hash = fnv1a(hash, id_bytes(&state->types, held->type), id_length(&state->types.records[held->type]));
        out[written++] = (reach){hash, held->first_us, held->last_us};
    }
    reach *spare = written < MANY_REACHES ? NULL : malloc(written * sizeof(reach));
    uint32_t *begins = spare == NULL ? NULL : calloc(PLACES + 1, sizeof(uint32_t));
    if (begins == NULL) { /* few, or no memory to spare */
        qsort(out, written, sizeof(reach), compare_reaches);
    } else {
        memcpy(spare, out, written * sizeof(reach));
        spread_reaches(spare, out, written, begins);
    }
    free(begins);
    free(spare);
    return written;
}

#endif
