/* The scan: a chunk's bytes straight into the state of `Summary`, or into columns, and the counts of a tally.
 *
 * Rules: only where a row's fields are, and in which order things are looked at; what becomes of a row is in rows.h.
 *
 * A block's boundaries come first (index.h). Rows are then read in batches, and a batch is gone through several times:
 * first everything that the bytes alone tell, then the groups, each fetched ahead, as with a million of them nearly
 * every one comes from main memory.
 */
#ifndef MOCKEXPORT_SCANNING_H
#define MOCKEXPORT_SCANNING_H

#include "described.h"
#include "runs.h"

/* A row's time alone takes up more. */
#define LEAST_ROW_BYTES 16
/* One row in so many that is set aside is many: a plan takes some two times as long for a row, the reference fifty. */
#define MANY_ASIDE 32

/* Take in the rows that were gathered, or put them aside: 0, or -1. */
static inline __attribute__((always_inline)) int take_pending(row_scan *scan, summary_state *state,
                                                              const uint8_t *data, uint64_t offset,
                                                              const pending_row *rows, uint32_t count,
                                                              block_count *taken, const int to_columns,
                                                              const int further) {
    if (count != 0 && state->count != 0) {
        fetch_groups(state, rows, count, further);
    }
    for (uint32_t i = 0; i < count; i++) {
        int done = take_row(scan, state, rows[i].ids, rows[i].time_us, rows[i].value, taken, to_columns, further);
        const row_place at = rows[i].place;
        if (__builtin_expect(done <= 0, 0) &&
            (done < 0 || set_aside(scan, offset + at.start, offset + at.end, at.line) < 0)) {
            return -1;
        }
    }
    return 0;
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
    const uint8_t delimiter = scan->signs.delimiter;
    const uint32_t fields = usual ? 4 : scan->fields;
    const uint32_t *at = scan->positions + 1, *last = at + index_block(data, size, delimiter, scan->positions + 1);
    /* Fields that nobody needs must be plain, too: in most blocks every byte is. */
    const int all_plain = usual || !mark_unplain(data, size, scan->unplain);
    const int has_nulls = scan->null_count != 0;
    uint32_t start = 0, pending = 0;
    uint64_t line = scan->lines;
    block_count taken = {0, INT64_MAX, INT64_MIN, scan->covered, scan->filter != NULL};
    row_run run;
    run.data = data;
    run.offset = offset;
    run.at = at;
    run.count = 0;
    run.left = 0;
    run.line = line;
    if (to_columns && reserve_rows(&scan->columns, size / LEAST_ROW_BYTES + 1) < 0) {
        return -1;
    }

    for (;; line++) {
        if (usual && !to_columns) {
            /* Runs, until one has left a row, or a row is in none. */
            while (run.left == 0) {
                if (run.count != 0) {
                    at = run.at + 4 * (size_t)run.count;
                    line = run.line + run.count;
                }
                run.at = at;
                run.line = line;
                if (take_run(scan, state, &run, (size_t)(last - at) / 4) < 0) {
                    return -1;
                }
                if (run.count == 0) {
                    break;
                }
            }
            if (run.left != 0) {
                unsigned first = (unsigned)__builtin_ctzll(run.left);
                run.left &= run.left - 1;
                at = run.at + 4 * first;
                line = run.line + first;
            }
            start = at[-1] + 1;
        }
        const uint32_t *next = at + fields;
        row_ids ids;
        uint32_t end, time, time_length, value_at, value_length;
        int64_t time_us, value;
        wide apart;
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
        time_us = read_time(&scan->times, data + time, time_length);
        if (__builtin_expect(time_us == NOT_PLAIN, 0)) {
            goto unclear;
        }
        id_words(ids.patient, ids.patient_length, &ids.patient_low, &ids.patient_high);
        id_words(ids.type, ids.type_length, &ids.type_low, &ids.type_high);
        int is_missing = value_length == 0 || (has_nulls && is_null_token(scan, data + value_at, value_length));
        if (__builtin_expect(!is_missing, 1)) {
            value = read_value(data + value_at, value_length, &apart);
            if (__builtin_expect(value == NOT_PLAIN, 0)) {
                goto unclear;
            }
            is_missing = has_nulls && is_null_number(scan, value, apart);
        }
        if (__builtin_expect(is_missing, 0)) {
            int counted = take_missing(scan, state, ids, time_us);
            if (counted < 0) {
                return -1;
            }
            if (counted == 0) {
                goto unclear;
            }
        } else {
            ids.hash = pair_hash(ids.patient_low, ids.patient_high, ids.type_low, ids.type_high);
            if (__builtin_expect(value == WIDE, 0)) {
                int done = take_wide(scan, state, ids, time_us, apart);
                if (done <= 0) {
                    if (done < 0) {
                        return -1;
                    }
                    goto unclear;
                }
                count_row(&taken, time_us);
            } else if (far) {
                __builtin_prefetch(&state->slots[slot_of(ids.hash, state->bits)]);
                rows[pending] = (pending_row){ids, {start, end, line}, time_us, value};
                if (++pending == BATCH_ROWS) {
                    if (take_pending(scan, state, data, offset, rows, pending, &taken, to_columns, further) < 0) {
                        return -1;
                    }
                    pending = 0;
                }
            } else {
                int done = take_row(scan, state, ids, time_us, value, &taken, to_columns, further);
                if (__builtin_expect(done <= 0, 0)) {
                    if (done < 0) {
                        return -1;
                    }
                    goto unclear;
                }
            }
        }
        start = end + 1;
        at = next;
        continue;
    quoted:
        if (!usual) {
            if (may_be_open(scan, data + start, data + end)) {
                const uint64_t row_end = find_row_end(scan, data, start, end);
                if (row_end == UINT64_MAX) {
                    scan->stopped = scan->is_open = 1;
                    break;
                }
                if (row_end != end) {
                    const uint64_t first_line = line;
                    for (uint64_t i = end; i < row_end; i++) {
                        line += data[i] == '\n';
                    }
                    /* What is read of a field may lie beyond it, but not beyond the chunk. */
                    end = (uint32_t)row_end;
                    while (next < last && *next <= end) {
                        next++;
                    }
                    if (leave_row(scan, data, offset, (row_place){start, end, first_line}) < 0) {
                        return -1;
                    }
                    goto left;
                }
            }
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
    unclear:
        if (leave_row(scan, data, offset, (row_place){start, end, line}) < 0) {
            return -1;
        }
    left:
        start = end + 1;
        at = next;
        if (__builtin_expect(scan->stopped || start >= size, 0)) {
            line++;
            break;
        }
        continue;
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
    if (take_pending(scan, state, data, offset, rows, pending, &taken, to_columns, further) < 0) {
        return -1;
    }
    scan->lines = line;
    scan->rows += taken.rows;
    scan->first_us = taken.first_us < scan->first_us ? taken.first_us : scan->first_us;
    scan->last_us = taken.last_us > scan->last_us ? taken.last_us : scan->last_us;
    return start;
}

static __attribute__((noinline)) int64_t scan_usual(row_scan *scan, summary_state *state, const uint8_t *data,
                                                    size_t size, uint64_t offset) {
    return scan_block(scan, state, data, size, offset, 1, 0, 0, 0);
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
    return usual ? scan_block(scan, state, data, size, offset, 1, 0, 0, 1)
                 : scan_block(scan, state, data, size, offset, 0, 1, 0, 1);
}

/* Never gathered first: rows, and those set aside, must stay in order. */
static __attribute__((noinline)) int64_t scan_to_columns(row_scan *scan, summary_state *state, const uint8_t *data,
                                                         size_t size, uint64_t offset, int usual) {
    return usual ? scan_block(scan, state, data, size, offset, 1, 0, 1, 0)
                 : scan_block(scan, state, data, size, offset, 0, 0, 1, 0);
}

static int64_t take_plain_block(row_scan *scan, summary_state *state, const uint8_t *data, size_t size,
                                uint64_t offset) {
    int usual = scan->fields == 4 && scan->patient == 0 && scan->time == 1 && scan->type == 2 &&
                memchr(data, '"', size) == NULL;
    if (scan->to_columns) {
        return scan_to_columns(scan, state, data, size, offset, usual);
    }
    if (state->families != 0) {
        return scan_further(scan, state, data, size, offset, usual);
    }
    if (!usual) {
        return scan_any(scan, state, data, size, offset);
    }
    return scan_usual(scan, state, data, size, offset);
}

/* The scan of a block that suits the layout and the number of groups so far. A table that is not described otherwise may
 * be read by a plan too: while more than one row in a few of a block is nothing for the plain reader. If there is no plan
 * yet, the scan stops for one. */
static int64_t take_block(row_scan *scan, summary_state *state, const uint8_t *data, size_t size, uint64_t offset) {
    int64_t taken;
    if (scan->by_plan && scan->plan != NULL) {
        taken = scan_described(scan, state, data, size, offset);
        scan->by_plan = scan->only_plan || scan->plan->odd != 0;
        return taken;
    }
    const size_t aside = scan->aside_count;
    const uint64_t lines = scan->lines;
    taken = take_plain_block(scan, state, data, size, offset);
    scan->by_plan = (scan->aside_count - aside) * MANY_ASIDE > scan->lines - lines;
    scan->stopped = scan->stopped || (scan->by_plan && scan->plan == NULL);
    return taken;
}

/* Set a row aside that is longer than a block and begins with it; return the bytes it takes up, or -1. */
static __attribute__((noinline)) int64_t take_long_row(row_scan *scan, const uint8_t *data, uint64_t offset) {
    const size_t left = scan->available;
    const uint64_t end = find_row_end_of(scan, data, 0);
    if (end == UINT64_MAX) {
        scan->stopped = scan->is_open = 1;
        return 0;
    }
    if (leave_row(scan, data, offset, (row_place){0, end, scan->lines}) < 0) {
        return -1;
    }
    scan->lines += 1 + count_lines(data, data + end);
    return (int64_t)(end == left ? end : end + 1);
}

/* Take in a chunk of whole rows, the last with or without its line end; rows that are not plain are in `aside`
 * afterwards, in no particular order. It may stop before the chunk's end. Return 0, or -1 when memory is out. */
static int scan_chunk(row_scan *scan, summary_state *state, const uint8_t *data, size_t size) {
    size_t at = 0;
    scan->aside_count = 0;
    scan->lines = 0;
    scan->positions[0] = UINT32_MAX;
    scan->stopped = scan->is_open = 0;
    scan->ended = size != 0 && data[size - 1] != '\n';
    while (size - at > TAIL_BYTES && !scan->stopped) {
        size_t block = size - at - PADDING < BLOCK_BYTES ? size - at - PADDING : BLOCK_BYTES;
        scan->available = size - at;
        int64_t taken = take_block(scan, state, data + at, block, at);
        if (taken == 0 && !scan->stopped) {
            taken = take_long_row(scan, data + at, at);
        }
        if (taken < 0) {
            return -1;
        }
        at = (size_t)taken < size - at ? at + (size_t)taken : size;
    }
    size_t left = size - at;
    if (left != 0 && !scan->stopped) {
        memcpy(scan->tail, data + at, left);
        if (scan->tail[left - 1] != '\n') {
            scan->tail[left++] = '\n';
        }
        memset(scan->tail + left, 0, PADDING);
        scan->available = left;
        int64_t taken = take_block(scan, state, scan->tail, left, at);
        if (taken < 0) {
            return -1;
        }
        at = (size_t)taken < size - at ? at + (size_t)taken : size;
    }
    scan->stopped_at = at;
    if (at == size && !scan->is_open) {
        scan->stopped = 0;
    }
    return 0;
}

#endif
