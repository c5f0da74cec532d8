/* Runs of rows of the usual layout, which nearly all rows are part of.
 *
 * A run is gone through several times, each time for one thing: a loop that does little keeps all of it in registers, and
 * memory answers for many rows at once. Rules: a row that is not plain in every respect is left, to be looked at by itself
 * (scanning.h); a run ends where a row has more fields or fewer.
 */
#ifndef MOCKEXPORT_RUNS_H
#define MOCKEXPORT_RUNS_H

#include "gather.h"

/* Enough that memory answers for many rows at once, and few enough that what is known of them stays near. */
#define RUN_ROWS 32

typedef struct {
    const uint8_t *data; /* the block, */
    uint64_t offset;     /* where it is in its chunk, */
    uint64_t line;       /* and the line of the first row */
    const uint32_t *at; /* the first row's positions, four to a row; the one before is that of the line end before it */
    uint32_t count, aside;
    uint64_t left, unusual; /* rows that are not plain, and those with long ids or wide values, a bit for each */
    int64_t times[RUN_ROWS], values[RUN_ROWS];
    wide wides[RUN_ROWS]; /* the value where `values` has WIDE */
    uint64_t patient_low[RUN_ROWS], patient_high[RUN_ROWS], type_low[RUN_ROWS], type_high[RUN_ROWS];
    uint64_t patient_forms[RUN_ROWS], type_forms[RUN_ROWS]; /* as in an id_record */
    uint32_t hashes[RUN_ROWS], numbers[RUN_ROWS]; /* of the groups, NONE where there is none yet, or other ids */
} row_run;

/* Find the rows of a run, and what look-ups of their groups take. */
static __attribute__((noinline)) void read_ids(const row_scan *scan, const summary_state *state, row_run *run,
                                               uint32_t most) {
    const uint8_t *data = run->data, delimiter = scan->signs.delimiter;
    const uint32_t *at = run->at;
    const uint64_t *slots = state->slots;
    const unsigned bits = state->bits;
    const int far = state->count > FAR_GROUPS;
    uint64_t left = 0, unusual = 0;
    uint32_t i = 0;
    for (; i < most; i++, at += 4) {
        const uint32_t start = at[-1] + 1, one = at[0], two = at[1], three = at[2];
        if (__builtin_expect((data[one] ^ delimiter) | (data[two] ^ delimiter) | (data[three] ^ delimiter) |
                                 (data[at[3]] ^ '\n'), 0)) {
            break;
        }
        const uint32_t patient_length = one - start, type_length = three - two - 1;
        uint64_t patient_low, patient_high, type_low, type_high;
        if (__builtin_expect(((patient_length - 1) | (type_length - 1)) >= SHORT_ID_BYTES, 0)) {
            if (patient_length - 1 >= MAX_ID_BYTES || type_length - 1 >= MAX_ID_BYTES) {
                left |= 1ULL << i;
                run->hashes[i] = 0;
                continue;
            }
            unusual |= 1ULL << i;
        }
        id_words(data + start, patient_length, &patient_low, &patient_high);
        id_words(data + two + 1, type_length, &type_low, &type_high);
        run->patient_low[i] = patient_low;
        run->patient_high[i] = patient_high;
        run->type_low[i] = type_low;
        run->type_high[i] = type_high;
        run->patient_forms[i] = PLAIN | patient_length;
        run->type_forms[i] = PLAIN | type_length;
        run->hashes[i] = pair_hash(patient_low, patient_high, type_low, type_high);
        if (far) {
            __builtin_prefetch(&slots[slot_of(run->hashes[i], bits)]);
        }
    }
    run->count = i;
    run->left = left;
    run->unusual = unusual;
}

static __attribute__((noinline)) void read_times(row_scan *scan, row_run *run) {
    const uint8_t *data = run->data;
    const uint32_t *at = run->at;
    uint64_t left = 0;
    for (uint32_t i = 0; i < run->count; i++, at += 4) {
        const int64_t time_us = read_time(&scan->times, data + at[0] + 1, at[1] - at[0] - 1);
        run->times[i] = time_us;
        if (__builtin_expect(time_us == NOT_PLAIN, 0)) {
            left |= 1ULL << i;
        }
    }
    run->left |= left;
}

static __attribute__((noinline)) void read_values(const row_scan *scan, row_run *run) {
    const uint8_t *data = run->data;
    const uint32_t *at = run->at;
    const int has_nulls = scan->null_count != 0;
    uint64_t left = 0, unusual = 0;
    for (uint32_t i = 0; i < run->count; i++, at += 4) {
        const uint32_t begin = at[2] + 1, end = at[3], length = end - begin - (data[end - 1] == '\r');
        if (__builtin_expect(length == 0 || (has_nulls && is_null_token(scan, data + begin, length)), 0)) {
            left |= 1ULL << i;
            run->values[i] = 0;
            continue;
        }
        int64_t value = read_value(data + begin, length, &run->wides[i]);
        if (has_nulls && is_null_number(scan, value, run->wides[i])) {
            value = NOT_PLAIN; /* without a value */
        }
        run->values[i] = value;
        if (__builtin_expect(value <= WIDE, 0)) {
            *(value == WIDE ? &unusual : &left) |= 1ULL << i;
        }
    }
    run->left |= left;
    run->unusual |= unusual;
}

/* Find the groups of a run, by their hashes alone. */
static __attribute__((noinline)) void find_groups_of(const summary_state *state, row_run *run) {
    const uint64_t *slots = state->slots;
    const unsigned bits = state->bits;
    const uint32_t last = (uint32_t)((1ULL << bits) - 1);
    for (uint32_t i = 0; i < run->count; i++) {
        const uint32_t hash = run->hashes[i];
        uint32_t slot = slot_of(hash, bits);
        uint64_t entry = slots[slot];
        while (__builtin_expect((uint32_t)(entry >> 32) != hash && entry != 0, 0)) {
            slot = (slot + 1) & last;
            entry = slots[slot];
        }
        run->numbers[i] = (uint32_t)entry - 1; /* NONE of a free slot */
    }
}

/* Ask memory for them; for any group where there is none yet. */
static __attribute__((noinline)) void fetch_groups_of(const summary_state *state, const row_run *run) {
    for (uint32_t i = 0; i < run->count; i++) {
        const group *near = &state->groups[run->numbers[i] != NONE ? run->numbers[i] : 0];
        __builtin_prefetch(near, 1);
        __builtin_prefetch((const uint8_t *)near + sizeof *near - 1, 1);
        if (state->families != 0) {
            const family_group *kept = &state->family_groups[near - state->groups];
            __builtin_prefetch(kept, 1);
            __builtin_prefetch((const uint8_t *)kept + sizeof *kept - 1, 1);
        }
    }
}

/* And for the ids that prove them, and counts of values to come. */
static __attribute__((noinline)) void fetch_proofs_of(const summary_state *state, const row_run *run) {
    for (uint32_t i = 0; i < run->count; i++) {
        const group *near = &state->groups[run->numbers[i] != NONE ? run->numbers[i] : 0];
        __builtin_prefetch(&state->patients.records[near->patient]);
        if (state->families != 0) {
            fetch_counts(&state->family_groups[near - state->groups], run->times[i], run->values[i]);
        }
    }
}

/* The group of a row, as group_of has it. */
static __attribute__((noinline)) int64_t look_for_group(summary_state *state, const row_run *run, uint32_t i) {
    const uint32_t *at = run->at + 4 * i, patient_length = (uint32_t)run->patient_forms[i];
    const uint32_t type_length = (uint32_t)run->type_forms[i];
    return group_of(state, (row_ids){
        run->data + (at[-1] + 1), run->data + (at[1] + 1), run->patient_low[i], run->patient_high[i],
        run->type_low[i], run->type_high[i], patient_length, type_length, run->hashes[i],
        ((patient_length - 1) | (type_length - 1)) < SHORT_ID_BYTES});
}

/* Add a row to a group: 0, or -1 when memory is out. */
static inline __attribute__((always_inline)) int add_row(row_scan *scan, summary_state *state, const row_run *run,
                                                         uint32_t i, int64_t number, group *into,
                                                         const normal_range *normal, const int further,
                                                         const int choosy) {
    const int64_t time_us = run->times[i], value = run->values[i];
    if (choosy) {
        if (scan->covered != NULL) {
            count_time(scan->covered, time_us);
        }
        int asked = scan->filter != NULL ? is_asked(scan, state, number, time_us) : 1;
        if (asked <= 0) {
            scan->filtered += asked == 0;
            return asked;
        }
    }
    add_to_group(into, normal, time_us, value);
    return further ? add_further(state, number, time_us, value) : 0;
}

/* A row with long ids or a wide value, or whose group is not where its hash points first: 1, or 0 if it was set aside, or
 * -1 when memory is out. */
static __attribute__((noinline)) int add_unusual(row_scan *scan, summary_state *state, row_run *run, uint32_t i) {
    const int64_t number = look_for_group(state, run, i), time_us = run->times[i];
    if (number < 0) {
        const uint32_t *at = run->at + 4 * i;
        run->aside++;
        return number == -1 ? -1
                            : set_aside(scan, run->offset + (at[-1] + 1), run->offset + at[3], run->line + i);
    }
    if (scan->covered != NULL) {
        count_time(scan->covered, time_us);
    }
    int asked = scan->filter != NULL ? is_asked(scan, state, number, time_us) : 1;
    if (asked <= 0) {
        scan->filtered += asked == 0;
        return asked < 0 ? -1 : 1;
    }
    if (run->values[i] == WIDE) {
        return add_wide_value(state, number, time_us, run->wides[i]) < 0 ? -1 : 1;
    }
    add_value(state, number, time_us, run->values[i]);
    return state->families != 0 && add_further(state, number, time_us, run->values[i]) < 0 ? -1 : 1;
}

/* Add the rows of a run that are plain: 0, or -1 when memory is out. `further` and `choosy` (there is a filter, or rows
 * are counted by hour) are constants. */
static inline __attribute__((always_inline)) int add_plain(row_scan *scan, summary_state *state, row_run *run,
                                                           const int further, const int choosy) {
    int64_t first_us = scan->first_us, last_us = scan->last_us;
    for (uint32_t i = 0; i < run->count;) {
        /* What is written to groups might be these, for all that a compiler knows; and an unusual row may move them. */
        const uint64_t odd = run->left | run->unusual;
        group *groups = state->groups;
        const id_record *patients = state->patients.records, *types = state->types.records;
        const normal_range *normal = state->normal;
        for (; i < run->count; i++) {
            const uint32_t number = run->numbers[i];
            if (__builtin_expect((odd >> i & 1) != 0 || number == NONE, 0)) {
                break;
            }
            group *into = &groups[number];
            const id_record *patient = &patients[into->patient], *type = &types[into->type];
            if (__builtin_expect(((patient->low ^ run->patient_low[i]) | (patient->high ^ run->patient_high[i]) |
                                  (patient->form ^ run->patient_forms[i]) | (type->low ^ run->type_low[i]) |
                                  (type->high ^ run->type_high[i]) | (type->form ^ run->type_forms[i])) != 0, 0)) {
                break;
            }
            const int64_t time_us = run->times[i];
            if (__builtin_expect(time_us < first_us, 0)) {
                first_us = time_us;
            }
            if (__builtin_expect(time_us > last_us, 1)) {
                last_us = time_us;
            }
            if (add_row(scan, state, run, i, number, into, normal, further, choosy) < 0) {
                return -1;
            }
        }
        for (; i < run->count; i++) {
            if (!(run->left >> i & 1)) {
                int added = add_unusual(scan, state, run, i);
                if (added < 0) {
                    return -1;
                }
                if (added) {
                    first_us = run->times[i] < first_us ? run->times[i] : first_us;
                    last_us = run->times[i] > last_us ? run->times[i] : last_us;
                }
            }
            if (i + 1 < run->count && !(run->unusual >> (i + 1) & 1)) {
                i++;
                break;
            }
        }
    }
    scan->first_us = first_us;
    scan->last_us = last_us;
    scan->rows += run->count - run->aside - (uint32_t)__builtin_popcountll(run->left);
    return 0;
}

static __attribute__((noinline)) int add_usual(row_scan *scan, summary_state *state, row_run *run) {
    return add_plain(scan, state, run, 0, 0);
}

static __attribute__((noinline)) int add_with_further(row_scan *scan, summary_state *state, row_run *run) {
    return add_plain(scan, state, run, 1, 0);
}

static __attribute__((noinline)) int add_chosen(row_scan *scan, summary_state *state, row_run *run) {
    return state->families != 0 ? add_plain(scan, state, run, 1, 1) : add_plain(scan, state, run, 0, 1);
}

/* End a run before a row that may be a header: it is another one that is in force behind it. */
static __attribute__((noinline)) void end_at_header(const row_scan *scan, row_run *run) {
    for (uint64_t left = run->left; left != 0; left &= left - 1) {
        const uint32_t i = (uint32_t)__builtin_ctzll(left), *at = run->at + 4 * i, start = at[-1] + 1;
        if (may_be_header(scan, run->data + start, at[3] - start)) {
            run->count = i;
            run->left &= (1ULL << i) - 1;
            return;
        }
    }
}

/* Take in a run of up to `rows` rows, whose data and place are set: 0, or -1 when memory is out. */
static int take_run(row_scan *scan, summary_state *state, row_run *run, size_t rows) {
    /* With further statistics there is more to be fetched of every group. */
    const int far = state->count > (state->families != 0 ? 0 : FAR_GROUPS);
    read_ids(scan, state, run, rows < RUN_ROWS ? (uint32_t)rows : RUN_ROWS);
    /* What memory was asked for comes while something else is read. */
    read_values(scan, run);
    find_groups_of(state, run);
    if (far) {
        fetch_groups_of(state, run);
    }
    read_times(scan, run);
    if (far) {
        fetch_proofs_of(state, run);
    }
    run->aside = 0;
    if (run->left != 0) {
        end_at_header(scan, run);
    }
    if (scan->filter != NULL || scan->covered != NULL) {
        return add_chosen(scan, state, run);
    }
    return state->families != 0 ? add_with_further(scan, state, run) : add_usual(scan, state, run);
}

#endif
