/* Statistics out of a group's integers, where doubles divide them correctly rounded.
 *
 * Rules: reducers/summary.py is the law. Integers below 2^53 are doubles exactly, and dividing two of them rounds once, as
 * the law does; others are left to Python, and so is whatever else is not plainly the same.
 */
#ifndef MOCKEXPORT_FIGURES_H
#define MOCKEXPORT_FIGURES_H

#include <stdint.h>

#include "wide.h"

/* Integers nearer to zero than this are exact as doubles. */
#define EXACT (1LL << 53)

static inline int is_exact(int64_t number) {
    return number > -EXACT && number < EXACT;
}

/* Whether a big integer is exact as a double, and if so, which integer it is. */
static inline int exact_of(const big *number, int64_t *exact) {
    const uint64_t sign = (uint64_t)((int64_t)number->words[0] >> 63);
    for (int i = 1; i < BIG_WORDS; i++) {
        if (number->words[i] != sign) {
            return 0;
        }
    }
    *exact = (int64_t)number->words[0];
    return is_exact(*exact);
}

/* A value in units of 10^-18: 1 and `whole` if it is integral, 2 and `fraction` if it is not, 0 if that is for Python. */
static int figure_of(wide value, int64_t *whole, double *fraction) {
    int64_t narrow;
    if (!narrow_of(value, &narrow)) {
        return 0;
    }
    if (narrow % UNIT == 0) {
        *whole = narrow / UNIT;
        return 1;
    }
    *fraction = (double)narrow / (double)UNIT;
    return is_exact(narrow) ? 2 : 0;
}

/* The mean of `count` values, 1 or more, of that total in units of 10^-18; 0 if that is for Python. */
static int mean_of(big total, uint64_t count, double *mean) {
    int64_t exact;
    if (count >= (uint64_t)EXACT || !divide_big(&total)) {
        return 0;
    }
    if (exact_of(&total, &exact) && count < (uint64_t)(EXACT / UNIT)) {
        *mean = (double)exact / (double)(count * (uint64_t)UNIT);
        return 1;
    }
    if (divide_big(&total) && exact_of(&total, &exact)) {
        *mean = (double)exact / (double)count;
        return 1;
    }
    return 0;
}

/* The mean of `gaps`, 1 or more, from the first to the last microsecond, in seconds; 0 if that is for Python. */
static int latency_of(int64_t first_us, int64_t last_us, uint64_t gaps, double *latency) {
    const uint64_t waited_us = (uint64_t)last_us - (uint64_t)first_us;
    if (waited_us >= (uint64_t)EXACT || gaps >= (uint64_t)(EXACT / 1000000)) {
        return 0;
    }
    *latency = (double)waited_us / (double)(gaps * 1000000);
    return 1;
}

#endif
