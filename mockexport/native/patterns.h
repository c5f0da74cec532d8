/* Times written by a pattern, `%d/%m/%Y %H:%M`, compiled into steps.
 *
 * Rules: as mockexport/formats/times.py has it. A text that is certainly no time of a format is NO_TIME; of one that is not
 * plainly either, NOT_PLAIN, only the reference knows.
 */
#ifndef MOCKEXPORT_PATTERNS_H
#define MOCKEXPORT_PATTERNS_H

#include "fields.h"

#define NO_TIME (INT64_MIN + 1)
enum { TIME_ISO, TIME_PATTERN, TIME_NUMBER };

/* What a time of a fixed length has at its places; the year is two of them. */
enum { PART_CENTURY, PART_YEAR, PART_MONTH, PART_DAY, PART_HOUR, PART_MINUTE, PART_SECOND, TIME_PARTS };
#define MAX_FIXED_BYTES 31
#define NO_PLACE 0xFF

/* A directive of a pattern by its letter, and its digits if there are always so many; LITERAL with a byte in lower case; or
 * BLANKS and how many there are at least. */
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
    int is_fixed;   /* a text is mostly of the length of `like`, and there are all its digits (see read_fixed) */
    uint32_t length;
    uint64_t like[4], literal[4], digit[4];
    uint8_t place[TIME_PARTS];
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

/* A space, of those that do not break too: how long it is, or 0. */
static inline uint32_t find_space(const uint8_t *at, const uint8_t *end) {
    const ptrdiff_t left = end - at;
    return left >= 1 && at[0] == ' '                                           ? 1
           : left >= 2 && at[0] == 0xC2 && at[1] == 0xA0                       ? 2
           : left >= 3 && at[0] == 0xE2 && at[1] == 0x80 && at[2] == 0xAF ? 3
                                                                               : 0;
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

/* Make a pattern ready that has nothing but numbers of two digits, years and literals: nearly all times of a table are of
 * one length, and can be held against it as words. */
static void begin_fixed(time_format *format) {
    static const char directives[TIME_PARTS] = {0, 'y', 'm', 'd', 'H', 'M', 'S'};
    uint8_t like[32] = {0}, literal[32] = {0}, digit[32] = {0};
    uint32_t length = 0;
    memset(format->place, NO_PLACE, sizeof format->place);
    for (uint32_t i = 0; i < format->step_count; i++) {
        const time_step step = format->steps[i];
        const int is_sign = step.directive == LITERAL || (step.directive == BLANKS && step.byte == 1);
        const char *part = is_sign || step.directive == 0 ? NULL : memchr(directives, step.directive, sizeof directives);
        const uint32_t digits = is_sign ? 0 : step.directive == 'Y' ? 4 : 2;
        /* Letters may be of either case, and are left to the steps. */
        if (length + 4 > MAX_FIXED_BYTES || (!is_sign && part == NULL && digits != 4) ||
            (is_sign && step.byte >= 'a' && step.byte <= 'z')) {
            return;
        }
        if (is_sign) {
            like[length] = step.directive == BLANKS ? ' ' : step.byte;
            literal[length++] = 0xFF;
            continue;
        }
        if (digits == 4) {
            format->place[PART_CENTURY] = (uint8_t)length;
        }
        format->place[digits == 4 ? PART_YEAR : part - directives] = (uint8_t)(length + digits - 2);
        for (uint32_t at = 0; at < digits; at++) {
            like[length] = '0';
            digit[length++] = 0xFF;
        }
    }
    memcpy(format->like, like, sizeof like);
    memcpy(format->literal, literal, sizeof literal);
    memcpy(format->digit, digit, sizeof digit);
    format->length = length;
    format->is_fixed = format->place[PART_YEAR] != NO_PLACE && format->place[PART_MONTH] != NO_PLACE;
}

/* The number at a place of a fixed length whose digits are digits, or 0 if there is none. */
static inline uint32_t part_at(const time_format *format, const uint8_t *at, int part) {
    const uint8_t place = format->place[part];
    return place == NO_PLACE ? 0 : (uint32_t)(at[place] - '0') * 10 + (uint32_t)(at[place + 1] - '0');
}

/* Read a time of the length of `like`: as read_pattern does, or NOT_PLAIN for that to judge. */
static inline int64_t read_fixed(const time_format *format, time_formats *of, const time_reading *times,
                                 const uint8_t *at) {
    uint64_t wrong = 0;
    for (uint32_t word = 0; word * 8 < format->length; word++) {
        const uint64_t differs = load64(at + 8 * word) ^ format->like[word];
        wrong |= (differs & format->literal[word]) | beyond_digits(differs & format->digit[word]);
    }
    if (wrong != 0) {
        return NOT_PLAIN;
    }
    const uint32_t of_century = part_at(format, at, PART_YEAR), month = part_at(format, at, PART_MONTH);
    const uint32_t year = format->place[PART_CENTURY] != NO_PLACE ? part_at(format, at, PART_CENTURY) * 100 + of_century
                                                                  : of_century + (of_century >= 69 ? 1900 : 2000);
    const uint32_t day = part_at(format, at, PART_DAY), hour = part_at(format, at, PART_HOUR);
    const uint32_t minute = part_at(format, at, PART_MINUTE), second = part_at(format, at, PART_SECOND);
    if (hour > 23 || minute > 59 || second > 59 || !is_real_date(year, month, day)) {
        return NOT_PLAIN;
    }
    return utc_of(of, times,
                  days_of(year, month, day) * DAY_US + (int64_t)(hour * 3600 + minute * 60 + second) * 1000000);
}

static int64_t read_pattern(const time_format *format, time_formats *of, const time_reading *times, const uint8_t *at,
                            const uint8_t *end) {
    if (format->is_fixed && (size_t)(end - at) == format->length) {
        const int64_t time_us = read_fixed(format, of, times, at);
        if (time_us != NOT_PLAIN) {
            return time_us;
        }
    }
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
            for (; (digits = find_space(at, end)) != 0 || (at < end && *at == '\t'); at += digits != 0 ? digits : 1) {
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
            if (at == end || (lower_case(*at) != 'a' && lower_case(*at) != 'p')) {
                return unlike;
            }
            half = lower_case(*at++) == 'p';
            at += at < end && *at == '.';
            at += find_space(at, end);
            if (at == end || lower_case(*at) != 'm') {
                return unlike;
            }
            at++;
            at += at < end && *at == '.';
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
        default: /* one digit or two; two beside other numbers */
            if (at == end || !is_digit(*at) || (step->byte == 2 && (end - at < 2 || !is_digit(at[1])))) {
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

#endif
