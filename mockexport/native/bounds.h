/* Where the fields and rows of a block end, quotes considered: positions only, as in index.h, for described tables.
 *
 * A delimiter or line end between an odd and an even quote is data. That is right if every quote stands where one may,
 * which whoever splits a row (described.h) has to prove; a row that is read from its beginning is all that it depends on.
 */
#ifndef MOCKEXPORT_BOUNDS_H
#define MOCKEXPORT_BOUNDS_H

#include "index.h"

/* For a quote, an escape, a comment that there is not: no byte is like it. */
#define NO_SIGN 256
/* What 64 bytes may hold: quotes or escapes; NUL, or what is not ASCII. */
#define HAS_QUOTE 1
#define HAS_UNPLAIN 2

typedef struct {
    uint8_t delimiter;
    uint16_t quote, escape, comment;
} row_signs;

/* Of 64 bytes, those that end a field or a row, those that are a quote, and those that are NUL or not ASCII. */
typedef struct {
    uint64_t ends, quotes, unplain;
} sign_masks;

static inline sign_masks find_signs_words(const uint8_t *at, const row_signs *of) {
    const uint64_t each = 0x0101010101010101ULL, gather = 0x0102040810204080ULL;
    sign_masks found = {0, 0, 0};
    for (int part = 0; part < 8; part++) {
        const uint64_t word = load64(at + 8 * part);
        const uint64_t ends = zero_bytes(word ^ of->delimiter * each) | zero_bytes(word ^ '\n' * each);
        const uint64_t quotes = of->quote == NO_SIGN ? 0 : zero_bytes(word ^ of->quote * each);
        const uint64_t unplain = zero_bytes(word) | (word & 0x80 * each);
        found.ends |= (((ends >> 7) * gather) >> 56) << (8 * part);
        found.quotes |= (((quotes >> 7) * gather) >> 56) << (8 * part);
        found.unplain |= (((unplain >> 7) * gather) >> 56) << (8 * part);
    }
    return found;
}

#if defined(__x86_64__)

static inline sign_masks find_signs(const uint8_t *at, const row_signs *of) {
    /* A quote that there is not is one more line end to look for. */
    const __m128i d = _mm_set1_epi8((char)of->delimiter), n = _mm_set1_epi8('\n'), none = _mm_setzero_si128();
    const __m128i q = _mm_set1_epi8(of->quote == NO_SIGN ? '\n' : (char)of->quote);
    sign_masks found = {0, 0, 0};
    for (int part = 0; part < 4; part++) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(at + 16 * part));
        const __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(bytes, d), _mm_cmpeq_epi8(bytes, n));
        const __m128i unplain = _mm_or_si128(bytes, _mm_cmpeq_epi8(bytes, none));
        found.ends |= (uint64_t)(uint32_t)_mm_movemask_epi8(ends) << (16 * part);
        found.quotes |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, q)) << (16 * part);
        found.unplain |= (uint64_t)(uint32_t)_mm_movemask_epi8(unplain) << (16 * part);
    }
    found.quotes = of->quote == NO_SIGN ? 0 : found.quotes;
    return found;
}

#else

static inline sign_masks find_signs(const uint8_t *at, const row_signs *of) {
    return find_signs_words(at, of);
}

#endif

/* The bits between quotes, those of opening quotes included; `open` is all ones if the bytes begin between some. */
static inline uint64_t between(uint64_t quotes, uint64_t open) {
    for (int by = 1; by < 64; by *= 2) {
        quotes ^= quotes << by;
    }
    return quotes ^ open;
}

static inline unsigned count_bits(uint64_t mask) {
    mask -= (mask >> 1) & 0x5555555555555555ULL;
    mask = (mask & 0x3333333333333333ULL) + ((mask >> 2) & 0x3333333333333333ULL);
    return (unsigned)((((mask + (mask >> 4)) & 0x0F0F0F0F0F0F0F0FULL) * 0x0101010101010101ULL) >> 56);
}

static inline __attribute__((always_inline)) size_t bound_with(const uint8_t *data, size_t from, size_t size,
                                                               const row_signs *of, uint8_t *marks, uint32_t *out,
                                                               const int by_words) {
    const uint32_t *first = out;
    uint64_t open = 0;
    for (size_t base = from; base < size; base += 64) {
        const sign_masks found = by_words ? find_signs_words(data + base, of) : find_signs(data + base, of);
        const uint64_t here = inside(base, size), quotes = found.quotes & here;
        uint64_t ends = found.ends & here;
        if ((quotes | open) != 0) {
            const uint64_t quoted = between(quotes, open);
            ends &= ~quoted;
            open = 0 - (quoted >> 63);
        }
        *marks++ = (uint8_t)((quotes != 0 ? HAS_QUOTE : 0) | ((found.unplain & here) != 0 ? HAS_UNPLAIN : 0));
        out = put_positions(ends, (uint32_t)base, out, count_bits(ends));
    }
    return (size_t)(out - first);
}

/* With escapes, which make the next byte one like all others, it is byte for byte. */
static size_t bound_escaped(const uint8_t *data, size_t from, size_t size, const row_signs *of, uint8_t *marks,
                            uint32_t *out) {
    const uint32_t *first = out;
    int quoted = 0, escaped = 0;
    memset(marks, 0, (size - from + 63) / 64);
    for (size_t at = from; at < size; at++) {
        const uint8_t byte = data[at];
        uint8_t *mark = &marks[(at - from) / 64];
        *mark |= byte == 0 || byte >= 0x80 ? HAS_UNPLAIN : 0;
        if (escaped && (byte != '\n' || quoted)) {
            escaped = 0;
            continue;
        }
        escaped = byte == of->escape;
        if (escaped || byte == of->quote) {
            *mark |= HAS_QUOTE;
            quoted ^= !escaped;
        } else if (!quoted && (byte == of->delimiter || byte == '\n')) {
            *out++ = (uint32_t)at;
        }
    }
    return (size_t)(out - first);
}

/* Find the ends of the fields and rows of a block from `from` on, where a row begins; `marks` says what each 64 bytes
 * from there on may hold. Return how many there are. */
static size_t bound_block(const uint8_t *data, size_t from, size_t size, const row_signs *of, uint8_t *marks,
                          uint32_t *out) {
    if (of->escape != NO_SIGN) {
        return bound_escaped(data, from, size, of, marks, out);
    }
    return index_block == index_words ? bound_with(data, from, size, of, marks, out, 1)
                                      : bound_with(data, from, size, of, marks, out, 0);
}

#endif
