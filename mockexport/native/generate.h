/* A generated download's rows: the bytes of the reference in server/generation.py, drawn from the same random numbers.
 *
 * Rules: no Python and no decisions. Every floating-point operation is the reference's, in its order, by the same C
 * library's log, sqrt, sin and cos, so that the bits are the same; the compiler must neither contract nor reorder them.
 */
#ifndef MOCKEXPORT_GENERATE_H
#define MOCKEXPORT_GENERATE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* The Mersenne Twister, MT19937 (Matsumoto and Nishimura, ACM TOMACS 8, 1998): 624 words, made anew together. */
#define TWISTER_WORDS 624
#define TWISTER_SHIFT 397

typedef struct {
    uint32_t state[TWISTER_WORDS];
    uint32_t ready[TWISTER_WORDS]; /* the state as it is handed out */
    uint32_t next;
} twister;

typedef struct {
    const char *text;
    uint32_t length;
} piece_of_text;

typedef struct {
    piece_of_text tail; /* "Z,heart_rate," */
    double mean, deviation;
    int64_t lowest, highest;
} value_law;

typedef struct {
    twister draw;
    piece_of_text *patients; /* each with a comma, each with SPARE bytes behind it */
    uint32_t patient_count;
    value_law *laws;
    uint32_t law_count;
    int64_t minute_us; /* the minute of the slot at hand, since 1970 */
    int64_t slot_us;   /* where in it the slot begins */
    int64_t step_us;
    double step_s;
    uint64_t rows_left;
    double spare; /* gauss draws normal numbers in pairs and keeps one */
    int has_spare;
    char minute_text[24]; /* "2025-08-26T00:00:" of `written_us` */
    int64_t written_us;
} row_generator;

/* Texts are copied sixteen bytes at a time, beyond their end. */
#define SPARE 16
/* The longest value, a sign and ten digits, and the longest time. */
#define FIXED_BYTES (11 + 27 + 2)

/* Not constants to the compiler: it would make one call of sin and cos, and round as it likes best. */
static double (*volatile call_log)(double) = log;
static double (*volatile call_sin)(double) = sin;
static double (*volatile call_cos)(double) = cos;

static inline uint32_t twist(uint32_t upper, uint32_t lower) {
    uint32_t mixed = (upper & 0x80000000U) | (lower & 0x7FFFFFFFU);
    return mixed >> 1 ^ ((0U - (lower & 1U)) & 0x9908B0DFU);
}

static void temper_words(twister *draw) {
    for (int i = 0; i < TWISTER_WORDS; i++) {
        uint32_t word = draw->state[i];
        word ^= word >> 11;
        word ^= word << 7 & 0x9D2C5680U;
        word ^= word << 15 & 0xEFC60000U;
        word ^= word >> 18;
        draw->ready[i] = word;
    }
}

static __attribute__((noinline)) void refill(twister *draw) {
    uint32_t *state = draw->state;
    int i = 0;
    for (; i < TWISTER_WORDS - TWISTER_SHIFT; i++) {
        state[i] = state[i + TWISTER_SHIFT] ^ twist(state[i], state[i + 1]);
    }
    for (; i < TWISTER_WORDS - 1; i++) {
        state[i] = state[i + TWISTER_SHIFT - TWISTER_WORDS] ^ twist(state[i], state[i + 1]);
    }
    state[i] = state[TWISTER_SHIFT - 1] ^ twist(state[i], state[0]);
    temper_words(draw);
    draw->next = 0;
}

static inline uint32_t next_word(twister *draw) {
    if (__builtin_expect(draw->next == TWISTER_WORDS, 0)) {
        refill(draw);
    }
    return draw->ready[draw->next++];
}

/* random.random(): 53 bits of two words. */
static inline double next_double(twister *draw) {
    uint32_t upper = next_word(draw) >> 5, lower = next_word(draw) >> 6;
    return (upper * 67108864.0 + lower) * (1.0 / 9007199254740992.0);
}

/* random.choice() of so many: as many bits as the number has, drawn until they name one. */
static inline uint32_t next_choice(twister *draw, uint32_t count, unsigned shift) {
    uint32_t pick;
    do {
        pick = next_word(draw) >> shift;
    } while (pick >= count);
    return pick;
}

static const char two_digit_text[201] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
    "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

static inline char *put_two(char *out, uint32_t number) {
    memcpy(out, two_digit_text + 2 * number, 2);
    return out + 2;
}

/* "YYYY-MM-DDTHH:MM:" of a minute since 1970, by eras of 400 years from 1 March 0000. */
static __attribute__((noinline)) void write_minute(row_generator *rows) {
    int64_t minutes = rows->minute_us / 60000000, days = minutes / 1440 + 719468;
    uint32_t of_day = (uint32_t)(minutes % 1440);
    int64_t era = days / 146097;
    uint32_t of_era = (uint32_t)(days % 146097);
    uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint32_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint32_t month = (5 * of_year + 2) / 153, day = of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    year += (uint32_t)era * 400 + (month <= 2);
    char *out = put_two(put_two(rows->minute_text, year / 100), year % 100);
    *out++ = '-';
    out = put_two(out, month);
    *out++ = '-';
    out = put_two(out, day);
    *out++ = 'T';
    out = put_two(out, of_day / 60);
    *out++ = ':';
    out = put_two(out, of_day % 60);
    *out = ':';
    rows->written_us = rows->minute_us;
}

static inline uint32_t digits_of(uint64_t number) {
    uint32_t digits = 1;
    for (; number >= 10; number /= 10) {
        digits++;
    }
    return digits;
}

static inline char *put_value(char *out, int64_t value) {
    if (value < 0) {
        *out++ = '-';
        value = -value;
    }
    if (value < 100) {
        if (value < 10) {
            *out++ = (char)('0' + value);
            return out;
        }
        return put_two(out, (uint32_t)value);
    }
    if (value < 1000) {
        *out++ = (char)('0' + value / 100);
        return put_two(out, (uint32_t)(value % 100));
    }
    uint32_t digits = digits_of((uint64_t)value);
    for (uint32_t at = digits; at-- > 0; value /= 10) {
        out[at] = (char)('0' + value % 10);
    }
    return out + digits;
}

static inline char *put_text_of(char *out, const piece_of_text *text) {
    memcpy(out, text->text, SPARE);
    if (__builtin_expect(text->length > SPARE, 0)) {
        memcpy(out, text->text, text->length);
    }
    return out + text->length;
}

/* Make rows until there are none left, or `size` bytes might not hold one more; `longest` is what one may need,
 * SPARE included. With `out` NULL nothing is written: that is how to skip. Stops behind the row with which `wanted`
 * bytes are reached. Returns the bytes. */
static inline __attribute__((always_inline)) uint64_t make_rows(row_generator *rows, char *out, uint64_t size,
                                                                uint64_t longest, uint64_t wanted, const int writes) {
    twister *draw = &rows->draw;
    const uint32_t patient_count = rows->patient_count, law_count = rows->law_count;
    /* bit_length() of a number is 32 less its leading zeros: the words are shifted by just those. */
    const unsigned patient_shift = (unsigned)__builtin_clz(patient_count), law_shift = (unsigned)__builtin_clz(law_count);
    uint64_t made = 0;
    while (rows->rows_left != 0 && made < wanted && size - made >= longest) {
        const piece_of_text *patient = &rows->patients[next_choice(draw, patient_count, patient_shift)];

        /* timedelta(seconds=uniform(0, step)): whole seconds apart, the rest rounded half to even, which adding and
         * taking away 2^52 does. */
        double offset_s = rows->step_s * next_double(draw);
        int64_t whole_s = (int64_t)offset_s;
        double rest = (offset_s - (double)whole_s) * 1000000.0;
        volatile double rounded = rest + 4503599627370496.0;
        int64_t time_us = rows->slot_us + whole_s * 1000000 + (int64_t)(rounded - 4503599627370496.0);
        if (__builtin_expect(time_us >= 60000000, 0)) {
            int64_t whole_minutes_us = time_us - time_us % 60000000;
            rows->minute_us += whole_minutes_us;
            rows->slot_us -= whole_minutes_us;
            time_us -= whole_minutes_us;
        }
        rows->slot_us += rows->step_us;

        const value_law *law = &rows->laws[next_choice(draw, law_count, law_shift)];

        /* int(gauss(mean, deviation)), clamped */
        double normal;
        if (rows->has_spare) {
            normal = rows->spare;
            rows->has_spare = 0;
        } else {
            double angle = next_double(draw) * 6.283185307179586;
            double radius = sqrt(-2.0 * call_log(1.0 - next_double(draw)));
            normal = call_cos(angle) * radius;
            rows->spare = call_sin(angle) * radius;
            rows->has_spare = 1;
        }
        int64_t value = (int64_t)(law->mean + normal * law->deviation);
        value = value < law->lowest ? law->lowest : value > law->highest ? law->highest : value;

        uint32_t second = (uint32_t)time_us / 1000000, fraction = (uint32_t)time_us % 1000000;
        if (writes) {
            if (__builtin_expect(rows->written_us != rows->minute_us, 0)) {
                write_minute(rows);
            }
            char *at = put_text_of(out + made, patient);
            memcpy(at, rows->minute_text, 24);
            at = put_two(at + 17, second);
            if (__builtin_expect(fraction != 0, 1)) {
                *at++ = '.';
                at = put_two(at, fraction / 10000);
                at = put_two(at, fraction / 100 % 100);
                at = put_two(at, fraction % 100);
            }
            at = put_value(put_text_of(at, &law->tail), value);
            *at++ = '\n';
            made = (uint64_t)(at - out);
        } else {
            made += patient->length + 19 + (fraction != 0 ? 7 : 0) + law->tail.length + (value < 0) +
                    digits_of((uint64_t)(value < 0 ? -value : value)) + 1;
        }
        rows->rows_left--;
    }
    return made;
}

static __attribute__((noinline)) uint64_t write_rows(row_generator *rows, char *out, uint64_t size, uint64_t longest) {
    return make_rows(rows, out, size, longest, UINT64_MAX, 1);
}

/* Pass over no more than `rows_at_most` rows and `bytes` bytes, the last row not included; return their bytes. */
static __attribute__((noinline)) uint64_t skip_rows(row_generator *rows, uint64_t bytes, uint64_t longest,
                                                    uint64_t rows_at_most) {
    uint64_t left = rows->rows_left > rows_at_most ? rows->rows_left - rows_at_most : 0;
    rows->rows_left -= left;
    uint64_t made = make_rows(rows, NULL, bytes, longest, UINT64_MAX, 0);
    rows->rows_left += left;
    return made;
}

#endif
