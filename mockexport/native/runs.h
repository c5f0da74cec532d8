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
    word_pair patients[RUN_ROWS], types[RUN_ROWS]; /* the ids, as id_words has them, */
    uint64_t patient_forms[RUN_ROWS], type_forms[RUN_ROWS]; /* and as in an id_record */
    uint32_t hashes[RUN_ROWS], numbers[RUN_ROWS]; /* of the groups, NONE where there is none yet, or other ids */
    int64_t times[RUN_ROWS], values[RUN_ROWS];
    wide wides[RUN_ROWS]; /* the value where `values` has WIDE */
    uint64_t digits[RUN_ROWS], factors[RUN_ROWS]; /* of a time or a value in the making */
} row_run;

/* The ids of a row of which one is long: 0 if it is too long, or there is none. */
static __attribute__((noinline)) int read_long_ids(row_run *run, size_t i, const uint8_t *patient,
                                                   uint32_t patient_length, const uint8_t *type, uint32_t type_length) {
    uint64_t low[2], high[2];
    if (patient_length - 1 >= MAX_ID_BYTES || type_length - 1 >= MAX_ID_BYTES) {
        run->left |= 1ULL << i;
        run->hashes[i] = 0;
        return 0;
    }
    id_words(patient, patient_length, &low[0], &high[0]);
    id_words(type, type_length, &low[1], &high[1]);
    run->patients[i] = (word_pair){low[0], high[0]};
    run->types[i] = (word_pair){low[1], high[1]};
    run->unusual |= 1ULL << i;
    return 1;
}

/* Find the rows of a run, and what look-ups of their groups take. */
static __attribute__((noinline)) void read_ids(const row_scan *scan, const summary_state *state, row_run *run,
                                               uint32_t most) {
    const uint8_t *data = run->data, delimiter = scan->signs.delimiter;
    const uint32_t *at = run->at;
    const uint64_t *slots = state->slots;
    const unsigned bits = state->bits;
    size_t i = 0;
    run->left = run->unusual = 0;
    for (; i < most; i++, at += 4) {
        const uint32_t start = at[-1] + 1, one = at[0], two = at[1], three = at[2];
        if (__builtin_expect(data[one] != delimiter || data[two] != delimiter || data[three] != delimiter ||
                                 data[at[3]] != '\n', 0)) {
            break;
        }
        const uint32_t patient_length = one - start, type_length = three - two - 1;
        if (__builtin_expect(((patient_length - 1) | (type_length - 1)) < SHORT_ID_BYTES, 1)) {
            run->patients[i] = short_id(data + start, patient_length);
            run->types[i] = short_id(data + two + 1, type_length);
        } else if (!read_long_ids(run, i, data + start, patient_length, data + two + 1, type_length)) {
            continue;
        }
        run->patient_forms[i] = PLAIN | patient_length;
        run->type_forms[i] = PLAIN | type_length;
        const word_pair patient = run->patients[i], type = run->types[i];
        run->hashes[i] = pair_hash(patient[0], patient[1], type[0], type[1]);
        __builtin_prefetch(&slots[slot_of(run->hashes[i], bits)]);
    }
    run->count = (uint32_t)i;
}

/* Nearly all times and values are in their usual form, and become numbers two at a time. The loops that find those call
 * nothing, and so keep what they need in registers. */
static __attribute__((noinline)) void read_times(row_scan *scan, row_run *run) {
    const uint8_t *data = run->data;
    const uint32_t *at = run->at, count = run->count;
    for (size_t i = 0; i < count; i++, at += 4) {
        while (has_usual_time(&scan->times, data + at[0] + 1, at[1] - at[0] - 1, &run->digits[i])) {
            run->times[i] = scan->times.minute_us;
            at += 4;
            if (++i == count) {
                goto found;
            }
        }
        run->digits[i] = 0;
        run->times[i] = read_any_time(&scan->times, data + at[0] + 1, at[1] - at[0] - 1);
        if (run->times[i] == NOT_PLAIN) {
            run->left |= 1ULL << i;
        }
    }
found:
    for (size_t i = 0; i < RUN_ROWS; i += 2) {
        put_pair(&run->times[i], load_pair(&run->times[i]) + two_numbers(load_pair(&run->digits[i])));
    }
}

/* Read the value of a row that is not a short number, or may be a null token. */
static __attribute__((noinline)) void read_unusual_value(const row_scan *scan, row_run *run, uint32_t i) {
    const uint8_t *data = run->data;
    const uint32_t begin = run->at[4 * i + 2] + 1, end = run->at[4 * i + 3];
    const uint32_t length = end - begin - (data[end - 1] == '\r');
    int64_t value = NOT_PLAIN;
    if (length != 0 && !is_null_token(scan, data + begin, length)) {
        value = read_value(data + begin, length, &run->wides[i]);
        if (is_null_number(scan, value, run->wides[i])) {
            value = NOT_PLAIN; /* without a value */
        }
    }
    run->values[i] = value;
    if (value <= WIDE) {
        *(value == WIDE ? &run->unusual : &run->left) |= 1ULL << i;
    }
}

static __attribute__((noinline)) void read_values(const row_scan *scan, row_run *run) {
    const uint8_t *data = run->data;
    const uint32_t *at = run->at, count = run->count;
    uint64_t unusual = 0;
    for (size_t i = 0; i < count; i++, at += 4) {
        const uint32_t begin = at[2] + 1, end = at[3], length = end - begin - (data[end - 1] == '\r');
        if (__builtin_expect(!has_short_value(data + begin, length, &run->digits[i], &run->factors[i]), 0)) {
            unusual |= 1ULL << i;
        }
    }
    for (size_t i = 0; i < RUN_ROWS; i += 2) {
        put_pair(&run->values[i], two_products(two_numbers(load_pair(&run->digits[i])), load_pair(&run->factors[i])));
    }
    if (scan->null_count != 0) {
        unusual = (1ULL << count) - 1;
    }
    for (; unusual != 0; unusual &= unusual - 1) {
        read_unusual_value(scan, run, (uint32_t)__builtin_ctzll(unusual));
    }
}

/* Find the groups of a run, by their hashes alone. */
static __attribute__((noinline)) void find_groups_of(const summary_state *state, row_run *run) {
    const uint64_t *slots = state->slots;
    const unsigned bits = state->bits;
    const uint32_t last = (uint32_t)((1ULL << bits) - 1);
    const size_t count = run->count;
    for (size_t i = 0; i < count; i++) {
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
        run->data + (at[-1] + 1), run->data + (at[1] + 1), run->patients[i][0], run->patients[i][1],
        run->types[i][0], run->types[i][1], patient_length, type_length, run->hashes[i],
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
            const word_pair differs = (load_pair(patient) ^ run->patients[i]) | (load_pair(type) ^ run->types[i]);
            if (__builtin_expect(is_any(differs) || ((patient->form ^ run->patient_forms[i]) |
                                                     (type->form ^ run->type_forms[i])) != 0, 0)) {
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
