/* Rows as columns of numbers, in the file's order: what the scan makes for reducers that are written in Python.
 *
 * Rules: no parsing and no ids, only their numbers (state.h). Columns are of one chunk and are emptied for the next.
 * Functions that allocate return 0, or -1 when memory is out.
 */
#ifndef MOCKEXPORT_COLUMNS_H
#define MOCKEXPORT_COLUMNS_H

#include <stdint.h>
#include <string.h>

#include "room.h"
#include "wide.h"

/* Stands for the value of a row that has none; values reach nowhere near it (formats/batch.py). */
#define NO_VALUE (-WIDE_END)

typedef struct {
    uint32_t patient, type;
    int64_t time_us;
    wide value;
} numbered_row;

typedef struct {
    uint32_t *patients, *types;
    int64_t *times;
    wide *values; /* narrow ones, too */
    size_t count, capacity;
} row_columns;

/* Make room for `more` rows: all columns grow alike, or stay as they are known to be. */
static int reserve_rows(row_columns *columns, size_t more) {
    size_t count = columns->count, patients = columns->capacity, types = patients, times = patients, values = patients;
    if (reserve((void **)&columns->patients, &patients, count, more, sizeof *columns->patients) < 0 ||
        reserve((void **)&columns->types, &types, count, more, sizeof *columns->types) < 0 ||
        reserve((void **)&columns->times, &times, count, more, sizeof *columns->times) < 0 ||
        reserve((void **)&columns->values, &values, count, more, sizeof *columns->values) < 0) {
        return -1;
    }
    columns->capacity = values;
    return 0;
}

/* Add a row, for which there is room. */
static inline void put_row(row_columns *columns, uint32_t patient, uint32_t type, int64_t time_us, wide value) {
    size_t at = columns->count++;
    columns->patients[at] = patient;
    columns->types[at] = type;
    columns->times[at] = time_us;
    columns->values[at] = value;
}

/* Put `count` rows between those that are there, each before the row that is number `places[i]` now; the places
 * ascend. From the end, so that every row moves once. */
static int insert_rows(row_columns *columns, const numbered_row *rows, const size_t *places, size_t count) {
    if (reserve_rows(columns, count) < 0) {
        return -1;
    }
    size_t end = columns->count;
    columns->count += count;
    for (size_t left = count; left > 0; left--) {
        size_t from = places[left - 1], moved = end - from, to = from + left;
        memmove(columns->patients + to, columns->patients + from, moved * sizeof *columns->patients);
        memmove(columns->types + to, columns->types + from, moved * sizeof *columns->types);
        memmove(columns->times + to, columns->times + from, moved * sizeof *columns->times);
        memmove(columns->values + to, columns->values + from, moved * sizeof *columns->values);
        columns->patients[to - 1] = rows[left - 1].patient;
        columns->types[to - 1] = rows[left - 1].type;
        columns->times[to - 1] = rows[left - 1].time_us;
        columns->values[to - 1] = rows[left - 1].value;
        end = from;
    }
    return 0;
}

static void free_columns(row_columns *columns) {
    free(columns->patients);
    free(columns->types);
    free(columns->times);
    free(columns->values);
}

#endif
