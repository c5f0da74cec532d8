/* Times as a table's description has them written: by patterns, as numbers of units, or as fields.h has it.
 *
 * Rules: as mockexport/formats/times.py has it. A text that is certainly no time of a format is NO_TIME, and the next
 * format is asked; of one that is not plainly either, NOT_PLAIN, only the reference knows.
 */
#ifndef MOCKEXPORT_TIMES_H
#define MOCKEXPORT_TIMES_H

#include "fields.h"

#define NO_TIME (INT64_MIN + 1)
/* A longer text is no time (times._LONGEST). */
#define MAX_TIME_BYTES 100
/* The years 1 to 9999: times.FIRST_US and END_US, in days. */
#define FIRST_DAY (-719162LL)
#define END_DAY 2932897LL
/* More digits might not fit 64 bits, with any unit. */
#define MAX_WHOLE_DIGITS 15
#define MAX_DECIMALS 8

enum { TIME_ISO, TIME_PATTERN, TIME_NUMBER };

/* A directive of a pattern by its letter, LITERAL with a byte in lower case, or BLANKS and how many there are at least. */
#define LITERAL '='
#define BLANKS '_'

typedef struct {
    uint8_t directive, byte;
} time_step;

typedef struct {
    int kind;
    const time_step *steps;
    uint32_t step_count;
    int is_certain; /* there is one way only in which a text could match the steps */
    int64_t unit_us, origin_us;
    int is_clock; /* hours may be written 47:30 */
} time_format;

/* How a table's times are read; `near` is the span of local times that was of use last. */
typedef struct {
    const time_format *formats;
    uint32_t format_count;
    int alone; /* only `iso`, or nothing */
    uint32_t near;
} time_formats;

static const char month_names[12][10] = {"january", "february", "march",     "april",   "may",      "june",
                                         "july",    "august",   "september", "october", "november", "december"};

static inline uint8_t lower_case(uint8_t byte) {
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

static inline int is_digit(uint8_t byte) {
    return (uint32_t)byte - '0' <= 9;
}

/* The month whose name, or its first three letters, a text begins with, from 1; how long that is, or 0. */
static uint32_t find_month(const uint8_t *at, const uint8_t *end, int whole, uint32_t *month) {
    for (uint32_t number = 0; number < 12; number++) {
        const char *name = month_names[number];
        const size_t length = whole ? strlen(name) : 3;
        size_t same = 0;
        while (same < length && at + same < end && lower_case(at[same]) == (uint8_t)name[same]) {
            same++;
        }
        if (same == length) {
            *month = number + 1;
            return (uint32_t)length;
        }
    }
    return 0;
}

/* Read `Z`, `UTC`, `GMT` or `±HH[[:]MM]`: how long it is, or 0; `minutes` is 10^6 where there is no such offset. */
static uint32_t find_offset(const uint8_t *at, const uint8_t *end, int64_t *minutes) {
    const ptrdiff_t left = end - at;
    *minutes = 0;
    if (left >= 1 && lower_case(at[0]) == 'z') {
        return 1;
    }
    if (left >= 3) {
        const uint8_t word[3] = {lower_case(at[0]), lower_case(at[1]), lower_case(at[2])};
        if (memcmp(word, "utc", 3) == 0 || memcmp(word, "gmt", 3) == 0) {
            return 3;
        }
    }
    uint32_t hours, rest = 0, length = 3;
    if (left < 3 || (at[0] != '+' && at[0] != '-') || !two_digits(at + 1, &hours)) {
        return 0;
    }
    const uint32_t colon = left > 3 && at[3] == ':';
    if (left >= 5 + (ptrdiff_t)colon && two_digits(at + 3 + colon, &rest)) {
        length = 5 + colon;
    } else {
        rest = 0;
    }
    const int64_t ahead = hours > 23 || rest > 59 ? 1000000 : (int64_t)(hours * 60 + rest);
    *minutes = at[0] == '-' && ahead < 1000000 ? -ahead : ahead;
    return length;
}

/* A local time as UTC, or NOT_PLAIN. */
static inline int64_t utc_of(time_formats *of, const time_reading *times, int64_t local_us) {
    if (times->span_count == 0) {
        return local_us;
    }
    const offset_span *span = &times->spans[of->near];
    if (of->near >= times->span_count || local_us < span->from_us ||
        (of->near + 1 < times->span_count && local_us >= span[1].from_us)) {
        uint32_t low = 0, high = times->span_count;
        while (low < high) {
            const uint32_t middle = low + (high - low) / 2;
            if (times->spans[middle].from_us <= local_us) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if (low == 0) {
            return NOT_PLAIN;
        }
        of->near = low - 1;
        span = &times->spans[of->near];
    }
    return from_local(local_us, span->ahead_us);
}

static int64_t read_pattern(const time_format *format, time_formats *of, const time_reading *times, const uint8_t *at,
                            const uint8_t *end) {
    const int64_t unlike = format->is_certain ? NO_TIME : NOT_PLAIN;
    uint32_t year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
    int half = -1, has_offset = 0; /* of the day: 0 is am, 1 pm */
    int64_t fraction = 0, offset = 0;
    for (const time_step *step = format->steps, *last = step + format->step_count; step < last; step++) {
        uint32_t number = 0, digits = 0, high, low;
        switch (step->directive) {
        case LITERAL:
            if (at == end || lower_case(*at) != step->byte) {
                return unlike;
            }
            at++;
            break;
        case BLANKS:
            for (; at < end && (*at == ' ' || *at == '\t'); at++) {
                number++;
            }
            if (number < step->byte) {
                return unlike;
            }
            break;
        case 'Y':
            if (end - at < 4 || !two_digits(at, &high) || !two_digits(at + 2, &low)) {
                return unlike;
            }
            year = high * 100 + low;
            at += 4;
            break;
        case 'y':
            if (end - at < 2 || !two_digits(at, &low)) {
                return unlike;
            }
            year = low + (low >= 69 ? 1900 : 2000);
            at += 2;
            break;
        case 'p':
            if (end - at < 2 || lower_case(at[1]) != 'm' || (lower_case(at[0]) != 'a' && lower_case(at[0]) != 'p')) {
                return unlike;
            }
            half = lower_case(at[0]) == 'p';
            at += 2;
            break;
        case 'b':
        case 'B':
            digits = find_month(at, end, step->directive == 'B', &month);
            if (digits == 0) {
                return unlike;
            }
            at += digits;
            break;
        case 'z':
            digits = find_offset(at, end, &offset);
            if (digits == 0) {
                return unlike;
            }
            has_offset = 1;
            at += digits;
            break;
        case 'f':
            for (; at < end && is_digit(*at) && digits < 9; at++, digits++) {
                fraction = digits < 6 ? fraction * 10 + (*at - '0') : fraction;
            }
            if (digits == 0) {
                return unlike;
            }
            for (; digits < 6; digits++) {
                fraction *= 10;
            }
            break;
        default: /* one digit or two */
            if (at == end || !is_digit(*at)) {
                return unlike;
            }
            number = (uint32_t)*at++ - '0';
            if (at < end && is_digit(*at)) {
                number = number * 10 + ((uint32_t)*at++ - '0');
            }
            *(step->directive == 'm'   ? &month
              : step->directive == 'd' ? &day
              : step->directive == 'M' ? &minute
              : step->directive == 'S' ? &second
                                       : &hour) = number;
        }
    }
    if (at != end) {
        return unlike;
    }
    if (half >= 0) {
        if (hour < 1 || hour > 12) {
            return NO_TIME;
        }
        hour = hour % 12 + (half ? 12 : 0);
    }
    if (hour > 23 || minute > 59 || second > 59 || offset == 1000000 || !is_real_date(year, month, day)) {
        return NO_TIME;
    }
    int64_t time_us = days_of(year, month, day) * DAY_US + (int64_t)(hour * 3600 + minute * 60 + second) * 1000000;
    time_us = has_offset ? time_us - offset * MINUTE_US : utc_of(of, times, time_us);
    return time_us == NOT_PLAIN ? NOT_PLAIN : time_us + fraction;
}

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
