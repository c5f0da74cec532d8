/* Rows that were read, gathered before they are taken in: with a million groups nearly every one comes from main memory,
 * which answers for many at once.
 *
 * Rules: nothing is taken in here, and nothing read.
 */
#ifndef MOCKEXPORT_GATHER_H
#define MOCKEXPORT_GATHER_H

#include "rows.h"

/* With fewer groups than this they are all in the caches, and fetching ahead is wasted. */
#define FAR_GROUPS 4096
/* Enough rows that memory answers for all of them at once. */
#define BATCH_ROWS 32

/* A row that is well formed but for its ids, which are looked up later. */
typedef struct {
    row_ids ids;
    row_place place;
    int64_t time_us, value;
} pending_row;

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

#endif
