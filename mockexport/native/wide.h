/* Values in the reference's units, and their sums: 128 and 384 bits, exact, with room to spare.
 *
 * Values are of two kinds. A narrow one has up to nine places and is within ±10^9: 64 bits of 10^-9, as nearly all are.
 * Every other is wide: 128 bits of 10^-18. No value is both, so what is kept of a group's narrow values and what is kept
 * of its wide ones only has to be added up. Rules: no groups and no parsing here.
 */
#ifndef MOCKEXPORT_WIDE_H
#define MOCKEXPORT_WIDE_H

#include <stdint.h>

/* From a narrow value's unit to a wide one's: VALUE_SCALE / 10^9. */
#define UNIT 1000000000LL
/* The largest narrow value: 10^9. */
#define MAX_NARROW 1000000000000000000LL
/* Half of 128 bits: no value comes near it. */
#define WIDE_END ((wide)1 << 126)

typedef __int128 wide;
typedef unsigned __int128 wide_size; /* a value without its sign */

#define BIG_WORDS 6

/* In two's complement, the lowest word first. */
typedef struct {
    uint64_t words[BIG_WORDS];
} big;

static inline wide_size size_of(wide value) {
    return value < 0 ? 0 - (wide_size)value : (wide_size)value;
}

/* Whether a value is narrow, and if so, as such. Two short divisions: one of 128 bits takes much longer. */
static inline int narrow_of(wide value, int64_t *narrow) {
    wide_size size = size_of(value);
    if (size > (wide_size)MAX_NARROW * UNIT) {
        return 0;
    }
    uint64_t upper = (uint64_t)(size >> 32), lower = (upper % UNIT) << 32 | (uint32_t)size;
    if (lower % UNIT != 0) {
        return 0;
    }
    int64_t quotient = (int64_t)((upper / UNIT << 32) + lower / UNIT);
    *narrow = value < 0 ? -quotient : quotient;
    return 1;
}

static inline big big_of(wide number) {
    uint64_t sign = number < 0 ? ~0ULL : 0;
    return (big){{(uint64_t)number, (uint64_t)((wide_size)number >> 64), sign, sign, sign, sign}};
}

static inline int is_negative(const big *number) {
    return number->words[BIG_WORDS - 1] >> 63 != 0;
}

static void add_big(big *into, const big *number) {
    uint64_t carry = 0;
    for (int i = 0; i < BIG_WORDS; i++) {
        wide_size sum = (wide_size)into->words[i] + number->words[i] + carry;
        into->words[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
}

static void negate_big(big *number) {
    uint64_t carry = 1;
    for (int i = 0; i < BIG_WORDS; i++) {
        number->words[i] = ~number->words[i] + carry;
        carry &= number->words[i] == 0;
    }
}

static void scale_big(big *number, uint64_t factor) {
    uint64_t carry = 0;
    for (int i = 0; i < BIG_WORDS; i++) {
        wide_size product = (wide_size)number->words[i] * factor + carry;
        number->words[i] = (uint64_t)product;
        carry = (uint64_t)(product >> 64);
    }
}

/* The lower 384 bits of a product of numbers that are not negative. */
static big product_of(const big *left, const big *right) {
    big product = {{0}};
    for (int i = 0; i < BIG_WORDS; i++) {
        uint64_t carry = 0;
        for (int j = 0; i + j < BIG_WORDS; j++) {
            wide_size sum = (wide_size)left->words[i] * right->words[j] + product.words[i + j] + carry;
            product.words[i + j] = (uint64_t)sum;
            carry = (uint64_t)(sum >> 64);
        }
    }
    return product;
}

static big square_of(wide value) {
    big size = big_of((wide)size_of(value));
    return product_of(&size, &size);
}

/* Whether left <= right. */
static int is_within(const big *left, const big *right) {
    if (is_negative(left) != is_negative(right)) {
        return is_negative(left);
    }
    for (int i = BIG_WORDS - 1; i >= 0; i--) {
        if (left->words[i] != right->words[i]) {
            return left->words[i] < right->words[i];
        }
    }
    return 1;
}

/* Divide by UNIT if that leaves no rest; return whether it does not. */
static int divide_big(big *number) {
    big quotient = *number;
    uint64_t rest = 0;
    int negative = is_negative(number);
    if (negative) {
        negate_big(&quotient);
    }
    for (int i = BIG_WORDS - 1; i >= 0; i--) {
        uint64_t upper = rest << 32 | quotient.words[i] >> 32;
        uint64_t lower = (upper % UNIT) << 32 | (uint32_t)quotient.words[i];
        quotient.words[i] = (upper / UNIT) << 32 | lower / UNIT;
        rest = lower % UNIT;
    }
    if (rest != 0) {
        return 0;
    }
    if (negative) {
        negate_big(&quotient);
    }
    *number = quotient;
    return 1;
}

#endif
