/* Fields: bytes that are a time or a value, plainly written, as integers.
 *
 * Rules: as mockexport/formats/fields.py has it, or NOT_PLAIN, for the reference to judge. Nothing of rows and columns.
 * A field must be followed by PADDING readable bytes.
 */
#ifndef MOCKEXPORT_FIELDS_H
#define MOCKEXPORT_FIELDS_H

#include "index.h"
#include "wide.h"

#define DAY_US 86400000000LL
#define MINUTE_US 60000000LL
/* fields.MAX_VALUE and model.VALUE_SCALE, as powers of ten. */
#define MAX_VALUE_DIGITS 15
#define VALUE_PLACES 18
/* More digits may not fit 128 bits. */
#define MAX_DIGITS 38
/* What a reading of a field returns where the field is not plain, and where its value is a wide one: no time and no
 * narrow value comes near them. */
#define NOT_PLAIN INT64_MIN
#define WIDE (INT64_MIN + 1)

/* Local times from `from_us` on, to the next span's, are so far ahead of UTC; NOT_PLAIN where only the reference knows. */
typedef struct {
    int64_t from_us, ahead_us;
} offset_span;

/* How times are read: the minute read last, as nearly every row shares it with the one before; and where local times
 * are, how far ahead of UTC it is. */
typedef struct {
    uint64_t low, high;
    int64_t minute_us;
    const offset_span *spans;
    uint32_t span_count;
    int64_t ahead_us;
} time_reading;

/* The number that eight bytes spell, each a digit's value, the first the highest. */
static inline uint32_t eight_digits(uint64_t digits) {
    digits = digits * 10 + (digits >> 8);
    return (uint32_t)(((digits & 0x000000FF000000FFULL) * 0x000F424000000064ULL +
                       ((digits >> 16) & 0x000000FF000000FFULL) * 0x0000271000000001ULL) >> 32);
}

#if defined(__x86_64__)

/* The same for two such words. */
static inline word_pair two_numbers(word_pair digits) {
    const __m128i ones = _mm_srli_epi16((__m128i)digits, 8);
    const __m128i tens = _mm_and_si128((__m128i)digits, _mm_set1_epi16(0xFF));
    const __m128i twos = _mm_add_epi16(_mm_mullo_epi16(tens, _mm_set1_epi16(10)), ones);
    const __m128i fours = _mm_madd_epi16(twos, _mm_set1_epi32(1 << 16 | 100));
    const __m128i parts = _mm_madd_epi16(fours, _mm_set_epi32(1, 10000, 1, 10000));
    return (word_pair)_mm_srli_epi64(_mm_add_epi32(parts, _mm_slli_epi64(parts, 32)), 32);
}

/* The products of numbers below 2^32. */
static inline word_pair two_products(word_pair numbers, word_pair factors) {
    return (word_pair)_mm_mul_epu32((__m128i)numbers, (__m128i)factors);
}

#else

static inline word_pair two_numbers(word_pair digits) {
    return (word_pair){eight_digits(digits[0]), eight_digits(digits[1])};
}

static inline word_pair two_products(word_pair numbers, word_pair factors) {
    return numbers * factors;
}

#endif

/* Not zero if a byte is above 9. */
static inline uint64_t beyond_digits(uint64_t digits) {
    return ((digits + 0x7676767676767676ULL) | digits) & 0x8080808080808080ULL;
}

static const uint64_t power_of_ten[19] = {1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL,
    100000000ULL, 1000000000ULL, 10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL,
    100000000000000ULL, 1000000000000000ULL, 10000000000000000ULL, 100000000000000000ULL, 1000000000000000000ULL};

static inline int two_digits(const uint8_t *at, uint32_t *number) {
    uint32_t tens = (uint32_t)at[0] - '0', ones = (uint32_t)at[1] - '0';
    *number = tens * 10 + ones;
    return tens <= 9 && ones <= 9;
}

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar, counted in eras of 400 years from 1 March 0000. */
static int64_t days_of(int64_t year, uint32_t month, uint32_t day) {
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Whether the calendar has a date, in the years 1 to 9999. */
static inline int is_real_date(uint32_t year, uint32_t month, uint32_t day) {
    static const uint8_t days_in[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 1 || month < 1 || month > 12 || day < 1) {
        return 0;
    }
    const int leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day <= (uint32_t)days_in[month] + (uint32_t)leap;
}

/* Read `YYYY-MM-DD[T ]HH:MM` of a real date and time of day. */
static __attribute__((noinline)) int64_t read_minute(const uint8_t *at) {
    uint32_t century, of_century, month, day, hour, minute;
    if (!two_digits(at, &century) || !two_digits(at + 2, &of_century) || at[4] != '-' || !two_digits(at + 5, &month) ||
        at[7] != '-' || !two_digits(at + 8, &day) || (at[10] != 'T' && at[10] != ' ') || !two_digits(at + 11, &hour) ||
        at[13] != ':' || !two_digits(at + 14, &minute)) {
        return NOT_PLAIN;
    }
    const uint32_t year = century * 100 + of_century;
    if (hour > 23 || minute > 59 || !is_real_date(year, month, day)) {
        return NOT_PLAIN;
    }
    return days_of(year, month, day) * DAY_US + (int64_t)(hour * 60 + minute) * MINUTE_US;
}

/* How far ahead of UTC a zone is in the minute that begins at a local time. */
static __attribute__((noinline)) int64_t ahead_at(const time_reading *times, int64_t minute_us) {
    uint32_t low = 0, high = times->span_count; /* the span is below `high`, and not below `low` unless that is 0 */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (times->spans[middle].from_us <= minute_us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? NOT_PLAIN : times->spans[low - 1].ahead_us;
}

/* A time without an offset, as UTC. */
static inline int64_t from_local(int64_t time_us, int64_t ahead_us) {
    return __builtin_expect(ahead_us == NOT_PLAIN, 0) ? NOT_PLAIN : time_us - ahead_us;
}

/* Read what may follow the seconds: `[(.|,)d…][ ][Z|UTC|GMT|±HH[[:]MM]]`, to the end; the fraction is cut to
 * microseconds. */
static __attribute__((noinline)) int64_t read_rest(const uint8_t *at, const uint8_t *end, int64_t time_us,
                                                   int64_t ahead_us) {
    if (at < end && (*at == '.' || *at == ',')) {
        const uint8_t *first = ++at;
        int64_t fraction = 0;
        for (; at < end && (uint32_t)*at - '0' <= 9; at++) {
            if (at - first < 6) {
                fraction = fraction * 10 + (*at - '0');
            }
        }
        ptrdiff_t digits = at - first;
        if (digits < 1 || digits > 9) {
            return NOT_PLAIN;
        }
        for (; digits < 6; digits++) {
            fraction *= 10;
        }
        time_us += fraction;
    }
    if (at == end) {
        return from_local(time_us, ahead_us);
    }
    if (*at == ' ' && ++at == end) {
        return NOT_PLAIN;
    }
    const ptrdiff_t left = end - at;
    if (*at == 'Z') {
        return left == 1 ? time_us : NOT_PLAIN;
    }
    if (left == 3 && (memcmp(at, "UTC", 3) == 0 || memcmp(at, "GMT", 3) == 0)) {
        return time_us;
    }
    uint32_t hours, minutes = 0;
    const int sized = left == 3 || (left == 5 && two_digits(at + 3, &minutes)) ||
                      (left == 6 && at[3] == ':' && two_digits(at + 4, &minutes));
    if ((*at != '+' && *at != '-') || !sized || !two_digits(at + 1, &hours) || hours > 23 || minutes > 59) {
        return NOT_PLAIN;
    }
    int64_t offset_us = (int64_t)(hours * 60 + minutes) * MINUTE_US;
    return *at == '-' ? time_us + offset_us : time_us - offset_us;
}

/* The number in the two middle bytes of a word, the first the higher. */
static inline uint32_t seconds_of(uint32_t word) {
    return (((word >> 8) & 0xFFFF) * 2561 >> 8) & 0xFF;
}

/* Read `YYYY-MM-DD[T ]HH:MM[Z]`. */
static __attribute__((noinline)) int64_t read_without_seconds(const time_reading *times, const uint8_t *at,
                                                              uint32_t length) {
    const int utc = length == 17 && at[16] == 'Z';
    const int64_t minute_us = length == 16 || utc ? read_minute(at) : NOT_PLAIN;
    if (minute_us == NOT_PLAIN || utc || times->span_count == 0) {
        return minute_us;
    }
    return from_local(minute_us, ahead_at(times, minute_us));
}

/* Whether a time has the form that most have, `:SS.ffffffZ`, in the minute read last: its microseconds in that
 * minute are then what eight digits spell. */
static inline int has_usual_time(const time_reading *times, const uint8_t *at, uint32_t length, uint64_t *digits) {
    if (length != 27 || ((load64(at) ^ times->low) | (load64(at + 8) ^ times->high)) != 0) {
        return 0;
    }
    const uint32_t second = load32(at + 16) ^ 0x2E30303AU; /* ":00." */
    uint64_t found = load64(at + 19) ^ 0x5A3030303030302EULL; /* ".000000Z" */
    /* The last goes before the first; where those two are, the seconds belong. */
    found = found << 8 | found >> 56;
    const uint32_t others = (uint16_t)found | (uint8_t)second;
    *digits = found |= second >> 8;
    return ((((found + 0x767676767676767AULL) | found) & 0x8080808080808080ULL) | others) == 0;
}

/* Any other form: fewer digits of fraction or none, an offset or none. */
static __attribute__((noinline)) int64_t read_any_time(time_reading *times, const uint8_t *at, uint32_t length) {
    if (length < 19) {
        return read_without_seconds(times, at, length);
    }
    uint64_t low = load64(at), high = load64(at + 8);
    if ((low ^ times->low) | (high ^ times->high)) {
        int64_t minute_us = read_minute(at);
        if (minute_us == NOT_PLAIN) {
            return NOT_PLAIN;
        }
        times->low = low;
        times->high = high;
        times->minute_us = minute_us;
        if (times->span_count != 0) {
            times->ahead_us = ahead_at(times, minute_us);
        }
    }
    uint64_t digits;
    if (has_usual_time(times, at, length, &digits)) {
        return times->minute_us + eight_digits(digits);
    }
    /* The point is not asked for here: it may be a Z, a sign, or the end. */
    uint32_t second = load32(at + 16) ^ 0x0030303AU; /* ":00" */
    if (((second + 0x00767A7FU) | second) & 0x00808080U) {
        return NOT_PLAIN;
    }
    int64_t time_us = times->minute_us + (int64_t)(seconds_of(second) * 1000000);
    if (length == 20 && at[19] == 'Z') {
        return time_us;
    }
    if (length == 19) {
        return from_local(time_us, times->ahead_us);
    }
    return read_rest(at + 19, at + length, time_us, times->ahead_us);
}

static inline int64_t read_time(time_reading *times, const uint8_t *at, uint32_t length) {
    uint64_t digits;
    return __builtin_expect(has_usual_time(times, at, length, &digits), 1) ? times->minute_us + eight_digits(digits)
                                                                           : read_any_time(times, at, length);
}

/* 10^n, n up to 36. */
static inline wide_size ten_to(unsigned n) {
    return n <= 18 ? power_of_ten[n] : (wide_size)power_of_ten[18] * power_of_ten[n - 18];
}

/* Any number that the reference would not have to round, and of no more than MAX_DIGITS digits:
 * `[+-]?(digits[.digits?]|.digits)([eE][+-]?digits)?`. Return it if it is narrow, or WIDE, and it is in `apart`. */
static __attribute__((noinline)) int64_t read_any_value(const uint8_t *at, uint32_t length, wide *apart) {
    const uint8_t *end = at + length;
    int negative = *at == '-', in_fraction = 0;
    at += negative || *at == '+';
    wide_size number = 0;
    int64_t shift = VALUE_PLACES, narrow;
    uint32_t significant = 0, digits = 0;
    for (; at < end; at++) {
        uint32_t digit = (uint32_t)*at - '0';
        if (digit <= 9) {
            if (significant == MAX_DIGITS) {
                return NOT_PLAIN;
            }
            number = number * 10 + digit;
            digits++;
            significant += number != 0;
            shift -= in_fraction;
        } else if (*at == '.' && !in_fraction) {
            in_fraction = 1;
        } else {
            break;
        }
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        int down = ++at < end && *at == '-';
        at += at < end && (down || *at == '+');
        const uint8_t *first = at;
        int64_t exponent = 0;
        for (; at < end && (uint32_t)*at - '0' <= 9; at++) {
            exponent = exponent * 10 + (*at - '0');
        }
        if (at == first || at - first > 4) {
            return NOT_PLAIN;
        }
        shift += down ? -exponent : exponent;
    }
    if (at != end || digits == 0) {
        return NOT_PLAIN;
    }
    if (number == 0) {
        return 0;
    }
    if (shift < 0 || shift > VALUE_PLACES + MAX_VALUE_DIGITS ||
        number > ten_to((unsigned)(VALUE_PLACES + MAX_VALUE_DIGITS - shift))) {
        return NOT_PLAIN;
    }
    number *= ten_to((unsigned)shift);
    *apart = negative ? -(wide)number : (wide)number;
    return narrow_of(*apart, &narrow) ? narrow : WIDE;
}

/* Any narrow decimal, `[+-]?digits[.digits]`, quickly; and any other value. */
static __attribute__((noinline)) int64_t read_long_value(const uint8_t *at, uint32_t length, wide *apart) {
    const uint8_t *begin = at, *end = at + length;
    int negative = *at == '-';
    if (negative || *at == '+') {
        at++;
    }
    uint64_t number = 0;
    uint32_t significant = 0, places = 0, digits = 0;
    int in_fraction = 0;
    for (; at < end; at++) {
        uint32_t digit = (uint32_t)*at - '0';
        if (digit <= 9) {
            number = number * 10 + digit;
            digits++;
            significant += number != 0;
            places += (uint32_t)in_fraction;
            if (significant > 19 || places > 9) {
                return read_any_value(begin, length, apart);
            }
        } else if (*at == '.' && !in_fraction) {
            in_fraction = 1;
        } else {
            return read_any_value(begin, length, apart);
        }
    }
    uint64_t factor = power_of_ten[9 - places];
    if (digits == 0 || number > (uint64_t)MAX_NARROW / factor) {
        return read_any_value(begin, length, apart);
    }
    number *= factor;
    return negative ? -(int64_t)number : (int64_t)number;
}

/* Whether a value is a number of up to eight bytes, with a point or without: it is then what eight digits spell, times
 * a power of ten. They are read as one word, whatever their number: lengths vary from row to row, and a branch on them
 * would be guessed wrong. */
static inline int has_short_value(const uint8_t *at, uint32_t length, uint64_t *digits, uint64_t *factor) {
    if (length - 1 >= 8) {
        return 0;
    }
    const unsigned shift = 64 - 8 * length;
    const uint64_t found = (load64(at) ^ 0x3030303030303030ULL) << shift;
    *digits = found;
    *factor = 1000000000;
    if (__builtin_expect(beyond_digits(found) == 0, 1)) {
        return 1;
    }
    /* The lowest byte that is a point, found exactly; what is no digit after taking it out is no plain decimal. */
    const uint64_t differs = found ^ 0x1E1E1E1E1E1E1E1EULL;
    const uint64_t points = (differs - 0x0101010101010101ULL) & ~differs & 0x8080808080808080ULL;
    if (points == 0 || length < 2) {
        return 0;
    }
    const unsigned point = (unsigned)__builtin_ctzll(points) & ~7U; /* the bits before its byte */
    *digits = (found & ((1ULL << point) - 1)) << 8 | (found & (~0xFFULL << point));
    *factor = power_of_ten[9 - (7 - point / 8)];
    return beyond_digits(*digits) == 0;
}

static inline int64_t read_value(const uint8_t *at, uint32_t length, wide *apart) {
    uint64_t digits, factor;
    return __builtin_expect(has_short_value(at, length, &digits, &factor), 1) ? (int64_t)(eight_digits(digits) * factor)
                                                                             : read_long_value(at, length, apart);
}

#endif
