/* How far in time each group of a state reaches, in a form in which the states of many downloads are compared.
 *
 * Rules: reducers/reach.py is the law. Groups without values are left out.
 */
#ifndef MOCKEXPORT_REACH_H
#define MOCKEXPORT_REACH_H

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

/* Write the reaches of a state to `out`, which has room for all its groups; return how many there are. */
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
    return written;
}

#endif
