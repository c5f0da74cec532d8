/* Times as a table's description has them written: by patterns, as numbers of units, or as fields.h has it.
 *
 * Rules: as mockexport/formats/times.py has it; of a text that is certainly no time of a format, the next one is asked.
 */
#ifndef MOCKEXPORT_TIMES_H
#define MOCKEXPORT_TIMES_H

#include "patterns.h"

/* A longer text is no time (times.LONGEST). */
#define MAX_TIME_BYTES 100
/* The years 1 to 9999: times.FIRST_US and END_US, in days. */
#define FIRST_DAY (-719162LL)
#define END_DAY 2932897LL
/* More digits might not fit 64 bits, with any unit. */
#define MAX_WHOLE_DIGITS 15
#define MAX_DECIMALS 8

/* Read `[+-]digits[.digits?]` units since the origin, or `[+-]digits:MM[:SS]` hours; and what is neither is NO_TIME. */
static int64_t read_elapsed(const time_format *format, const uint8_t *at, const uint8_t *end) {
    const int negative = at < end && *at == '-';
    at += at < end && (negative || *at == '+');
    const uint8_t *first = at;
    int64_t whole = 0, elapsed;
    for (; at < end && is_digit(*at); at++) {
        if (at - first >= MAX_WHOLE_DIGITS) {
            return NOT_PLAIN;
        }
        whole = whole * 10 + (*at - '0');
    }
    if (at == first) {
        return NO_TIME;
    }
    if (format->is_clock && at < end && *at == ':') {
        uint32_t minutes, seconds = 0;
        const ptrdiff_t left = end - at;
        if ((left != 3 && left != 6) || !two_digits(at + 1, &minutes) || minutes > 59 ||
            (left == 6 && (at[3] != ':' || !two_digits(at + 4, &seconds) || seconds > 59))) {
            return NO_TIME;
        }
        if (whole >= 1000000000) {
            return NOT_PLAIN;
        }
        elapsed = (whole * 3600 + minutes * 60 + seconds) * 1000000;
    } else {
        uint64_t decimals = 0;
        uint32_t places = 0;
        if (at < end && *at == '.') {
            for (at++; at < end && is_digit(*at); at++) {
                if (places >= MAX_DECIMALS) {
                    return NOT_PLAIN;
                }
                decimals = decimals * 10 + (uint64_t)(*at - '0');
                places++;
            }
        }
        if (at != end) {
            return NO_TIME;
        }
        if (__builtin_mul_overflow(whole, format->unit_us, &elapsed) || elapsed > (END_DAY - FIRST_DAY) * DAY_US) {
            return NOT_PLAIN;
        }
        elapsed += (int64_t)(decimals * (uint64_t)format->unit_us / power_of_ten[places]);
    }
    const int64_t time_us = negative ? format->origin_us - elapsed : format->origin_us + elapsed;
    return time_us >= FIRST_DAY * DAY_US && time_us < END_DAY * DAY_US ? time_us : NOT_PLAIN;
}

static inline int is_date_alone(const uint8_t *at, uint32_t length) {
    return length == 10 && at[4] == '-';
}

/* Read a time as fields.py has it, a date alone included. */
static int64_t read_iso(time_formats *of, time_reading *times, const uint8_t *at, uint32_t length) {
    if (length < 10 || at[4] != '-') {
        return NO_TIME;
    }
    if (length != 10) {
        return read_time(times, at, length);
    }
    uint32_t century, of_century, month, day;
    if (!two_digits(at, &century) || !two_digits(at + 2, &of_century) || !two_digits(at + 5, &month) || at[7] != '-' ||
        !two_digits(at + 8, &day) || !is_real_date(century * 100 + of_century, month, day)) {
        return NO_TIME;
    }
    return utc_of(of, times, days_of(century * 100 + of_century, month, day) * DAY_US);
}

/* Read a time of a described table: as UTC, or NOT_PLAIN. */
static inline int64_t read_described_time(time_formats *of, time_reading *times, const uint8_t *at, uint32_t length) {
    if (of->alone && length > 10) {
        return read_time(times, at, length);
    }
    if (length > MAX_TIME_BYTES) {
        return NOT_PLAIN;
    }
    for (uint32_t number = 0; number < of->format_count; number++) {
        const time_format *format = &of->formats[number];
        const int64_t time_us = format->kind == TIME_ISO       ? read_iso(of, times, at, length)
                                : format->kind == TIME_PATTERN ? read_pattern(format, of, times, at, at + length)
                                                               : read_elapsed(format, at, at + length);
        if (time_us != NO_TIME) {
            return time_us;
        }
    }
    return NOT_PLAIN;
}

#endif
