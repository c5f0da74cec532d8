/* Rows by hour of UTC: the compiled twin of mockexport/formats/coverage.py, which says what the buckets are.
 *
 * Rules: as there, the width is the narrowest that fits what has been counted, always. Buckets are sorted, and the one
 * counted last is at hand: nearly every row falls into it.
 */
#ifndef MOCKEXPORT_COVERAGE_H
#define MOCKEXPORT_COVERAGE_H

#include <stdint.h>
#include <string.h>

#define MAX_BUCKETS 4096
#define HOUR_US 3600000000LL

typedef struct {
    int64_t number; /* floor(time / width) */
    uint64_t rows;
} time_bucket;

typedef struct {
    int64_t start_us, width_us; /* of the bucket counted last; its first row is still to come where width_us is 0 */
    uint32_t at;                /* its place */
    uint32_t count, shift;      /* a bucket is 2^shift hours wide */
    time_bucket buckets[MAX_BUCKETS + 1];
} coverage;

static inline int64_t floor_of(int64_t time_us, int64_t width_us) {
    int64_t whole = time_us / width_us;
    return whole - (time_us % width_us < 0);
}

static void widen_buckets(coverage *into) {
    uint32_t kept = 0;
    into->shift++;
    for (uint32_t i = 0; i < into->count; i++) {
        time_bucket wide = {floor_of(into->buckets[i].number, 2), into->buckets[i].rows};
        if (kept != 0 && into->buckets[kept - 1].number == wide.number) {
            into->buckets[kept - 1].rows += wide.rows;
        } else {
            into->buckets[kept++] = wide;
        }
    }
    into->count = kept;
}

/* Count a row of another bucket than the last. */
static __attribute__((noinline)) void count_elsewhere(coverage *into, int64_t time_us) {
    for (;;) {
        int64_t width_us = HOUR_US << into->shift, number = floor_of(time_us, width_us);
        uint32_t low = 0, high = into->count;
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (into->buckets[middle].number < number) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if (low == into->count || into->buckets[low].number != number) {
            memmove(&into->buckets[low + 1], &into->buckets[low], (into->count - low) * sizeof *into->buckets);
            into->buckets[low] = (time_bucket){number, 0};
            if (++into->count > MAX_BUCKETS) {
                do {
                    widen_buckets(into);
                } while (into->count > MAX_BUCKETS);
                continue;
            }
        }
        into->start_us = number * width_us;
        into->width_us = width_us;
        into->at = low;
        into->buckets[low].rows++;
        return;
    }
}

static inline __attribute__((always_inline)) void count_time(coverage *into, int64_t time_us) {
    if (__builtin_expect((uint64_t)(time_us - into->start_us) < (uint64_t)into->width_us, 1)) {
        into->buckets[into->at].rows++;
    } else {
        count_elsewhere(into, time_us);
    }
}

#endif
