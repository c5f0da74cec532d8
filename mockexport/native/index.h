/* Where the delimiters and line ends of a block are: one pass, 64 bytes at a time, with no knowledge of rows.
 *
 * Rules: positions only; what lies between them is for rows.h. The block must be followed by PADDING readable bytes.
 * Finding boundaries first, apart from the rows, is what makes the scan quick: no row has to wait for the end of the
 * one before it.
 *
 * One build serves every machine: each architecture has a baseline that is always there (SSE2, NEON, or plain 64-bit
 * words), and x86-64 has two wider ones, of which the best is chosen at run time, once.
 */
#ifndef MOCKEXPORT_INDEX_H
#define MOCKEXPORT_INDEX_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if !defined(__GNUC__) || !defined(__SIZEOF_INT128__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the kernel needs GCC or Clang, 128-bit integers and a little-endian machine; without it Python does the work"
#endif

/* Readable bytes that must follow whatever is scanned: the widest read, and then some. */
#define PADDING 64
/* Positions written beyond the last: they are written eight or sixteen at a time. */
#define INDEX_SLACK 64

static inline uint64_t load64(const void *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

static inline uint32_t load32(const void *at) {
    uint32_t word;
    memcpy(&word, at, 4);
    return word;
}

/* Two words beside each other, which every machine has instructions for. */
typedef uint64_t word_pair __attribute__((vector_size(16)));

static inline word_pair load_pair(const void *at) {
    word_pair pair;
    memcpy(&pair, at, 16);
    return pair;
}

static inline void put_pair(void *at, word_pair pair) {
    memcpy(at, &pair, 16);
}

/* Whether a bit of it is set. */
static inline int is_any(word_pair pair) {
#if defined(__x86_64__)
    return _mm_movemask_epi8(_mm_cmpeq_epi8((__m128i)pair, _mm_setzero_si128())) != 0xFFFF;
#else
    return (pair[0] | pair[1]) != 0;
#endif
}

/* Write the positions of the bits of `mask`, `count` of them, which stands for the 64 bytes at `base`; return what is
 * behind the last. Eight, or sixteen, are written whether there are so many or not, which costs less than asking. */
static inline __attribute__((always_inline)) uint32_t *put_positions(uint64_t mask, uint32_t base, uint32_t *out,
                                                                     unsigned count) {
    for (int i = 0; i < 8; i++, mask &= mask - 1) {
        out[i] = base + (uint32_t)__builtin_ctzll(mask | (1ULL << 63));
    }
    if (__builtin_expect(count > 8, 0)) {
        for (int i = 8; i < 16; i++, mask &= mask - 1) {
            out[i] = base + (uint32_t)__builtin_ctzll(mask | (1ULL << 63));
        }
        for (unsigned i = 16; i < count; i++, mask &= mask - 1) {
            out[i] = base + (uint32_t)__builtin_ctzll(mask);
        }
    }
    return out + count;
}

/* The bits of the 64 bytes at `base` that belong to a block of `size` bytes. */
static inline uint64_t inside(size_t base, size_t size) {
    return size - base >= 64 ? ~0ULL : (1ULL << (size - base)) - 1;
}

typedef size_t (*index_function)(const uint8_t *data, size_t size, uint8_t delimiter, uint32_t *out);

/* The high bit of every byte of `word` that is zero, exactly. */
static inline uint64_t zero_bytes(uint64_t word) {
    return ~(((word & 0x7F7F7F7F7F7F7F7FULL) + 0x7F7F7F7F7F7F7F7FULL) | word | 0x7F7F7F7F7F7F7F7FULL);
}

/* For any machine: eight bytes at a time. */
static size_t index_words(const uint8_t *data, size_t size, uint8_t delimiter, uint32_t *out) {
    const uint32_t *first = out;
    const uint64_t d = delimiter * 0x0101010101010101ULL, n = '\n' * 0x0101010101010101ULL;
    for (size_t base = 0; base < size; base += 64) {
        uint64_t mask = 0;
        for (int part = 0; part < 8; part++) {
            uint64_t word = load64(data + base + 8 * part);
            uint64_t hit = (zero_bytes(word ^ d) | zero_bytes(word ^ n)) >> 7;
            mask |= ((hit * 0x0102040810204080ULL) >> 56) << (8 * part);
        }
        mask &= inside(base, size);
        out = put_positions(mask, (uint32_t)base, out, (unsigned)__builtin_popcountll(mask));
    }
    return (size_t)(out - first);
}

#if defined(__x86_64__)

static size_t index_sse2(const uint8_t *data, size_t size, uint8_t delimiter, uint32_t *out) {
    const uint32_t *first = out;
    const __m128i d = _mm_set1_epi8((char)delimiter), n = _mm_set1_epi8('\n');
    for (size_t base = 0; base < size; base += 64) {
        uint64_t mask = 0;
        for (int part = 0; part < 4; part++) {
            __m128i bytes = _mm_loadu_si128((const __m128i *)(data + base + 16 * part));
            __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(bytes, d), _mm_cmpeq_epi8(bytes, n));
            mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(hit) << (16 * part);
        }
        mask &= inside(base, size);
        /* popcount is no baseline instruction; counting by halves is. */
        uint64_t bits = mask - ((mask >> 1) & 0x5555555555555555ULL);
        bits = (bits & 0x3333333333333333ULL) + ((bits >> 2) & 0x3333333333333333ULL);
        bits = (((bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0FULL) * 0x0101010101010101ULL) >> 56;
        out = put_positions(mask, (uint32_t)base, out, (unsigned)bits);
    }
    return (size_t)(out - first);
}

/* As put_positions; the instruction for it says where there is no bit, too. */
__attribute__((target("bmi"))) static inline uint32_t *put_positions_bmi(uint64_t mask, uint32_t base, uint32_t *out,
                                                                         unsigned count) {
    for (int i = 0; i < 8; i++, mask &= mask - 1) {
        out[i] = base + (uint32_t)_tzcnt_u64(mask);
    }
    if (__builtin_expect(count > 8, 0)) {
        for (unsigned i = 8; i < count; i++, mask &= mask - 1) {
            out[i] = base + (uint32_t)_tzcnt_u64(mask);
        }
    }
    return out + count;
}

__attribute__((target("avx2,bmi,bmi2,popcnt"))) static size_t index_avx2(const uint8_t *data, size_t size,
                                                                        uint8_t delimiter, uint32_t *out) {
    const uint32_t *first = out;
    const __m256i d = _mm256_set1_epi8((char)delimiter), n = _mm256_set1_epi8('\n');
    for (size_t base = 0; base < size; base += 64) {
        __m256i low = _mm256_loadu_si256((const __m256i *)(data + base));
        __m256i high = _mm256_loadu_si256((const __m256i *)(data + base + 32));
        low = _mm256_or_si256(_mm256_cmpeq_epi8(low, d), _mm256_cmpeq_epi8(low, n));
        high = _mm256_or_si256(_mm256_cmpeq_epi8(high, d), _mm256_cmpeq_epi8(high, n));
        uint64_t mask = (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
        mask &= inside(base, size);
        out = put_positions_bmi(mask, (uint32_t)base, out, (unsigned)__builtin_popcountll(mask));
    }
    return (size_t)(out - first);
}

/* Which of 64 bytes are meant is a mask already, and one instruction moves their numbers together. */
__attribute__((target("avx512f,avx512bw,avx512vbmi2,popcnt"))) static size_t index_avx512(const uint8_t *data,
                                                                                         size_t size, uint8_t delimiter,
                                                                                         uint32_t *out) {
    const uint32_t *first = out;
    const __m512i d = _mm512_set1_epi8((char)delimiter), n = _mm512_set1_epi8('\n');
    uint8_t numbers[64];
    for (int i = 0; i < 64; i++) {
        numbers[i] = (uint8_t)i;
    }
    const __m512i numbered = _mm512_loadu_si512(numbers);
    for (size_t base = 0; base < size; base += 64) {
        const __m512i bytes = _mm512_loadu_si512(data + base), from = _mm512_set1_epi32((int)base);
        uint64_t mask = (uint64_t)(_mm512_cmpeq_epi8_mask(bytes, d) | _mm512_cmpeq_epi8_mask(bytes, n));
        mask &= inside(base, size);
        const __m512i found = _mm512_maskz_compress_epi8(mask, numbered);
        const unsigned count = (unsigned)__builtin_popcountll(mask);
        _mm512_storeu_si512(out, _mm512_add_epi32(_mm512_cvtepu8_epi32(_mm512_castsi512_si128(found)), from));
        if (__builtin_expect(count > 16, 0)) {
            _mm512_storeu_si512(out + 16,
                                _mm512_add_epi32(_mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(found, 1)), from));
            _mm512_storeu_si512(out + 32,
                                _mm512_add_epi32(_mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(found, 2)), from));
            _mm512_storeu_si512(out + 48,
                                _mm512_add_epi32(_mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(found, 3)), from));
        }
        out += count;
    }
    return (size_t)(out - first);
}

#define INDEX_BASELINE index_sse2
#define INDEX_BASELINE_NAME "sse2"

#elif defined(__aarch64__)

static size_t index_neon(const uint8_t *data, size_t size, uint8_t delimiter, uint32_t *out) {
    const uint32_t *first = out;
    const uint8x16_t d = vdupq_n_u8(delimiter), n = vdupq_n_u8('\n');
    const uint8x16_t bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    for (size_t base = 0; base < size; base += 64) {
        uint8x16_t hit[4];
        for (int part = 0; part < 4; part++) {
            uint8x16_t bytes = vld1q_u8(data + base + 16 * part);
            hit[part] = vandq_u8(vorrq_u8(vceqq_u8(bytes, d), vceqq_u8(bytes, n)), bit);
        }
        /* Adding neighbours three times leaves a byte per eight bytes: the mask. */
        uint8x16_t sum = vpaddq_u8(vpaddq_u8(hit[0], hit[1]), vpaddq_u8(hit[2], hit[3]));
        sum = vpaddq_u8(sum, sum);
        uint64_t mask = vgetq_lane_u64(vreinterpretq_u64_u8(sum), 0) & inside(base, size);
        out = put_positions(mask, (uint32_t)base, out, (unsigned)__builtin_popcountll(mask));
    }
    return (size_t)(out - first);
}

#define INDEX_BASELINE index_neon
#define INDEX_BASELINE_NAME "neon"

#else

#define INDEX_BASELINE index_words
#define INDEX_BASELINE_NAME "words"

#endif

/* Chosen once, when the module is loaded. */
static index_function index_block = INDEX_BASELINE;
static const char *index_name = INDEX_BASELINE_NAME;

/* Take the path called `name`, or the best one there is if it is NULL; return 0 if this machine has no such path. */
static int choose_index(const char *name) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if ((name == NULL || strcmp(name, "avx512") == 0) && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("popcnt")) {
        index_block = index_avx512;
        index_name = "avx512";
        return 1;
    }
    if ((name == NULL || strcmp(name, "avx2") == 0) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt")) {
        index_block = index_avx2;
        index_name = "avx2";
        return 1;
    }
#endif
    if (name == NULL || strcmp(name, INDEX_BASELINE_NAME) == 0) {
        index_block = INDEX_BASELINE;
        index_name = INDEX_BASELINE_NAME;
        return 1;
    }
    if (strcmp(name, "words") == 0) {
        index_block = index_words;
        index_name = "words";
        return 1;
    }
    return 0;
}

/* Mark, for every 64 bytes of a block, whether any is no plain character: beyond ASCII, a quote, or NUL. Return whether
 * one is marked. Written so that compilers make vector instructions of it. */
static int mark_unplain(const uint8_t *data, size_t size, uint8_t *marks) {
    uint8_t any = 0;
    for (size_t base = 0; base < size; base += 64, data += 64, marks++) {
        uint8_t mark = 0;
        for (int i = 0; i < 64; i++) {
            mark |= (uint8_t)((data[i] & 0x80) | (data[i] == '"') | (data[i] == 0));
        }
        any |= *marks = mark;
    }
    return any != 0;
}

#endif
