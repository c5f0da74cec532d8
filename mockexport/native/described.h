/* The scan of described tables: rows under a plan, taken in as those of scanning.h are.
 *
 * Rules: all of a row or nothing: every field of it has been read when the first is taken in. A row whose quotes make no
 * sense ends where formats/quoting.py lets it end, and behind it boundaries are looked for once more.
 */
#ifndef MOCKEXPORT_DESCRIBED_H
#define MOCKEXPORT_DESCRIBED_H

#include "gather.h"
#include "splitting.h"

enum { ROW_ASIDE, ROW_READ, ROW_LEFT_OUT };

/* A row, read but not taken in. */
typedef struct {
    text patient, type;
    int64_t time_us;
    int is_date;
} read_row;

/* Put the unit of a row to its type, or types: 1, or 0 if one is then no id, or none that is plain. */
static __attribute__((noinline)) int read_unit(plan *of, read_row *into) {
    const text unit = text_of(of, &of->unit);
    if (unit.at == NULL || (of->is_wide && !is_plain_text(unit.at, unit.length))) {
        return 0;
    }
    for (uint32_t i = 0; i < of->value_count; i++) {
        text *typed = of->is_wide ? &of->types[i] : &into->type;
        const text type = of->is_wide ? of->values[i].type : into->type;
        *typed = unit.length == 0 ? type : with_unit(of, type, unit);
        if (typed->at == NULL || typed->length > MAX_ID_BYTES) {
            return 0;
        }
    }
    return 1;
}

/* Read the fields of the row at hand; its values are in the plan's cells. */
static inline __attribute__((always_inline)) int read_fields(row_scan *scan, plan *of, read_row *into) {
    if (of->condition_count != 0 && !is_wanted(of)) {
        return ROW_LEFT_OUT;
    }
    const text time = text_of(of, &of->time);
    into->patient = text_of(of, &of->patient);
    if (time.at == NULL || into->patient.at == NULL || into->patient.length - 1 >= MAX_ID_BYTES) {
        return ROW_ASIDE;
    }
    if (!of->is_wide) {
        into->type = text_of(of, &of->type);
        if (into->type.at == NULL || into->type.length - 1 >= MAX_ID_BYTES) {
            return ROW_ASIDE;
        }
    }
    if (of->has_unit && !read_unit(of, into)) {
        return ROW_ASIDE;
    }
    into->time_us = of->is_sampled ? of->clock.next_us
                                   : read_described_time(&of->times, &scan->times, time.at, time.length);
    if (__builtin_expect(into->time_us == NOT_PLAIN, 0) || (of->is_sampled && into->time_us >= END_DAY * DAY_US)) {
        return ROW_ASIDE;
    }
    into->is_date = is_date_alone(time.at, time.length);
    of->odd += (uint64_t)into->is_date;
    for (uint32_t i = 0; i < of->value_count; i++) {
        const text field = text_of(of, &of->values[i].from);
        if (of->is_wide && field.length == 0) {
            of->cells[i].kind = CELL_NONE;
        } else if (field.at == NULL || !read_cell(of, scan, field, &of->cells[i])) {
            return ROW_ASIDE;
        }
    }
    return ROW_READ;
}

/* Take in a value: 1, or 0 if the row must be set aside, or -1. */
static inline __attribute__((always_inline)) int take_cell(row_scan *scan, summary_state *state, const plan_cell *cell,
                                                           row_ids ids, int64_t time_us, block_count *taken,
                                                           const int to_columns, const int further) {
    if (cell->kind == CELL_MISSING) {
        return take_missing(scan, state, ids, time_us);
    }
    ids.hash = pair_hash(ids.patient_low, ids.patient_high, ids.type_low, ids.type_high);
    if (__builtin_expect(cell->value != WIDE, 1)) {
        return take_row(scan, state, ids, time_us, cell->value, taken, to_columns, further);
    }
    const int done = take_wide(scan, state, ids, time_us, cell->apart);
    if (done > 0) {
        count_row(taken, time_us);
    }
    return done;
}

/* The ids of a row's patient; those of a type are named in them for each of its values. */
static inline row_ids ids_of(const text patient) {
    row_ids ids;
    ids.patient = patient.at;
    ids.patient_length = patient.length;
    id_words(patient.at, patient.length, &ids.patient_low, &ids.patient_high);
    return ids;
}

static inline void name_type(row_ids *ids, const text type) {
    ids->type = type.at;
    ids->type_length = type.length;
    ids->is_short = ((ids->patient_length - 1) | (type.length - 1)) < SHORT_ID_BYTES;
    id_words(type.at, type.length, &ids->type_low, &ids->type_high);
}

/* Take in the row that was read: 1, or 0 if it must be set aside, or -1.
 *
 * Whether a row must be is known at its first value: types of a wide table are plain (Plan), so that it is the patient's
 * id which decides. Where rows are kept, those without a value come behind the others of their line, as in
 * batch.with_missing. */
static inline __attribute__((always_inline)) int take_read(row_scan *scan, summary_state *state, const plan *of,
                                                           const read_row *row, block_count *taken,
                                                           const int to_columns, const int further) {
    row_ids ids = ids_of(row->patient);
    if (to_columns && reserve_rows(&scan->columns, of->value_count) < 0) {
        return -1;
    }
    const int rounds = to_columns && scan->keep_missing ? 2 : 1;
    for (int round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < of->value_count; i++) {
            const plan_cell *cell = &of->cells[i];
            if (cell->kind == CELL_NONE || (rounds == 2 && (cell->kind == CELL_MISSING) != round)) {
                continue;
            }
            const text type = of->is_wide ? of->types[i] : row->type;
            name_type(&ids, type);
            const int done = take_cell(scan, state, cell, ids, row->time_us, taken, to_columns, further);
            if (__builtin_expect(done <= 0, 0)) {
                return done;
            }
        }
    }
    scan->noted[NOTE_DATES] += (uint64_t)(row->is_date && of->dates_noted);
    for (uint32_t i = 0; i < of->value_count; i++) {
        if (of->cells[i].kind != CELL_NONE) {
            scan->noted[of->cells[i].note]++;
        }
    }
    return 1;
}

/* The line ends in some bytes; written so that compilers make vector instructions of it. */
static uint64_t count_lines(const uint8_t *at, const uint8_t *end) {
    uint64_t lines = 0;
    while (at < end) {
        const uint8_t *stop = end - at < 255 ? end : at + 255;
        uint8_t some = 0;
        for (; at < stop; at++) {
            some = (uint8_t)(some + (*at == '\n'));
        }
        lines += some;
    }
    return lines;
}

/* Values of rows, gathered; `dates` is 1 for the first one of a row whose date alone is noted. */
typedef struct {
    pending_row values[BATCH_ROWS];
    uint8_t dates[BATCH_ROWS];
    uint32_t count;
} gathered;

/* Take in the values that were gathered, or put their rows aside: 0, or -1. */
static inline __attribute__((always_inline)) int take_gathered(row_scan *scan, summary_state *state,
                                                               const uint8_t *data, gathered *all, uint64_t offset,
                                                               block_count *taken, const int further) {
    uint64_t aside = UINT64_MAX;
    if (all->count != 0 && state->count != 0) {
        fetch_groups(state, all->values, all->count, further);
    }
    for (uint32_t i = 0; i < all->count; i++) {
        const pending_row *value = &all->values[i];
        if (__builtin_expect(value->place.start == aside, 0)) {
            continue; /* with the first value of its row */
        }
        const int done = take_row(scan, state, value->ids, value->time_us, value->value, taken, 0, further);
        if (__builtin_expect(done <= 0, 0)) {
            aside = value->place.start;
            if (done < 0 || set_aside(scan, offset + aside, offset + value->place.end,
                                      scan->lines + count_lines(data, data + aside)) < 0) {
                return -1;
            }
            continue;
        }
        scan->noted[NOTE_DATES] += all->dates[i];
    }
    all->count = 0;
    scan->plan->scratch_used = 0;
    return 0;
}

/* Gather the values of the row that was read, if all are narrow numbers, of which there is nothing to note: whether they
 * are. There is room for as many as a row has. */
static inline int gather_read(const summary_state *state, const plan *of, const read_row *row, row_place place,
                              gathered *into) {
    for (uint32_t i = 0; i < of->value_count; i++) {
        const plan_cell *cell = &of->cells[i];
        if (cell->kind != CELL_NONE && (cell->kind != CELL_NUMBER || cell->value == WIDE || cell->note != NOTE_NONE)) {
            return 0;
        }
    }
    row_ids ids = ids_of(row->patient);
    uint8_t date = row->is_date && of->dates_noted;
    for (uint32_t i = 0; i < of->value_count; i++) {
        if (of->cells[i].kind == CELL_NONE) {
            continue;
        }
        const text type = of->is_wide ? of->types[i] : row->type;
        name_type(&ids, type);
        ids.hash = pair_hash(ids.patient_low, ids.patient_high, ids.type_low, ids.type_high);
        __builtin_prefetch(&state->slots[slot_of(ids.hash, state->bits)]);
        into->dates[into->count] = date;
        into->values[into->count++] = (pending_row){ids, place, row->time_us, of->cells[i].value};
        date = 0;
    }
    return date == 0; /* a row without values is taken in at once */
}

/* Take in the whole rows of a block, which begins at `offset` of its chunk; return the bytes they take up, or -1.
 * `far` (rows are gathered first), `to_columns` and `further` are constants. */
static inline __attribute__((always_inline)) int64_t scan_rows(row_scan *scan, summary_state *state,
                                                               const uint8_t *data, size_t size, uint64_t offset,
                                                               const int far, const int to_columns,
                                                               const int further) {
    plan *of = scan->plan;
    const row_signs *signs = &scan->signs;
    const uint32_t *at = scan->positions + 1, *last = at;
    uint32_t start = 0, from = 0; /* boundaries and marks are known from there on */
    int is_known = 0;
    /* Of rows that are taken in, nobody asks the line: it is counted where it is needed. */
    const uint64_t first_line = scan->lines;
    block_count taken = {0, INT64_MAX, INT64_MIN, scan->covered, scan->filter != NULL};
    gathered pending;
    pending.count = 0;
    of->odd = 0;
    of->scratch_used = 0;
    while (start < size && !scan->stopped) {
        if (!is_known) {
            from = start;
            scan->positions[0] = from - 1; /* at the beginning that of no byte, and one more is the first */
            at = scan->positions + 1;
            last = at + bound_block(data, from, size, signs, of->marks, scan->positions + 1);
            is_known = 1;
        }
        const int is_comment = data[start] == signs->comment;
        size_t count = 0;
        while (at + count < last && data[at[count]] != '\n') {
            count++;
        }
        uint64_t end = at + count < last ? at[count++] : UINT64_MAX, row_end;
        uint8_t mark = 0;
        int result = ROW_ASIDE, is_split = 0;
        read_row row;
        if (__builtin_expect(end == UINT64_MAX || is_comment, 0)) {
            const uint8_t *line_end = memchr(data + start, '\n', size - start);
            if (line_end == NULL) {
                break;
            }
            if (is_comment) {
                row_end = (uint64_t)(line_end - data);
                is_known = row_end == end;
                goto next;
            }
            goto odd;
        }
        for (uint64_t i = (start - from) / 64; i <= (end - from) / 64; i++) {
            mark |= of->marks[i];
        }
        row_end = end;
        const uint32_t finish = (uint32_t)end - (end > start && data[end - 1] == '\r');
        if (count == 1 && stripped(data + start, data + finish, signs->delimiter).length == 0) {
            goto next; /* a blank line */
        }
        if (far && (pending.count + of->value_count > BATCH_ROWS || of->scratch_used > SCRATCH_BYTES / 2)) {
            if (take_gathered(scan, state, data, &pending, offset, &taken, further) < 0) {
                return -1;
            }
        } else if (!far) {
            of->scratch_used = 0;
        }
        if (__builtin_expect((mark & HAS_UNPLAIN) != 0, 0) && !is_text(data + start, end - start)) {
            goto odd;
        }
        if (__builtin_expect(of->knows_none, 0)) {
            goto odd;
        }
        is_split = split_row(scan, of, data, at, count, finish, (mark & HAS_QUOTE) != 0);
        if (__builtin_expect(!is_split, 0)) {
            goto odd;
        }
        result = read_fields(scan, of, &row);
        if (result == ROW_LEFT_OUT) {
            if ((mark & HAS_QUOTE) != 0 ? may_be_header(scan, data + start, end - start)
                                        : may_name_columns(scan, data, start, at, count, finish)) {
                goto odd;
            }
            scan->rows++;
            scan->filtered++;
        } else if (__builtin_expect(result == ROW_ASIDE, 0)) {
            goto odd;
        } else if (!far || of->value_count > BATCH_ROWS ||
                   !gather_read(state, of, &row, (row_place){start, end, 0}, &pending)) {
            const int done = take_read(scan, state, of, &row, &taken, to_columns, further);
            if (__builtin_expect(done <= 0, 0)) {
                if (done < 0) {
                    return -1;
                }
                goto odd;
            }
        }
        if (of->is_sampled) {
            step_clock(&of->clock);
        }
    next:
        start = (uint32_t)row_end + 1;
        at += count;
        continue;
    odd:
        /* A row that was split ends where it was found to; of another one, the quotes may make no sense. */
        row_end = is_split ? end : find_row_end_of(scan, data, start);
        if (row_end == UINT64_MAX) {
            scan->stopped = scan->is_open = 1;
            break;
        }
        if (row_end >= size && start != 0) {
            break; /* the next block begins with it */
        }
        const uint64_t line = first_line + count_lines(data, data + start);
        if (leave_row(scan, data, offset, (row_place){start, row_end, line}) < 0) {
            return -1;
        }
        scan->stopped = scan->stopped || of->is_sampled; /* its time is for the reference to count */
        is_known = row_end == end;
        at += is_known ? count : 0;
        start = (uint32_t)row_end + 1;
    }
    if (far && take_gathered(scan, state, data, &pending, offset, &taken, further) < 0) {
        return -1;
    }
    scan->positions[0] = UINT32_MAX;
    /* A last line may be without its end. */
    scan->lines = first_line + (start > scan->available ? 1 + count_lines(data, data + start - 1)
                                                        : count_lines(data, data + start));
    scan->rows += taken.rows;
    scan->first_us = taken.first_us < scan->first_us ? taken.first_us : scan->first_us;
    scan->last_us = taken.last_us > scan->last_us ? taken.last_us : scan->last_us;
    return start;
}

static __attribute__((noinline)) int64_t scan_described(row_scan *scan, summary_state *state, const uint8_t *data,
                                                        size_t size, uint64_t offset) {
    if (scan->to_columns) { /* never gathered first: rows, and those set aside, must stay in order */
        return scan_rows(scan, state, data, size, offset, 0, 1, 0);
    }
    if (state->families != 0) {
        return scan_rows(scan, state, data, size, offset, 1, 0, 1);
    }
    return state->count > FAR_GROUPS ? scan_rows(scan, state, data, size, offset, 1, 0, 0)
                                     : scan_rows(scan, state, data, size, offset, 0, 0, 0);
}

#endif
