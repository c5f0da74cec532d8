/* BLAKE2b of up to 128 bytes, without a key, 16 bytes long (RFC 7693): what `hashlib.blake2b(…, digest_size=16)` says. */
#ifndef MOCKEXPORT_BLAKE2B_H
#define MOCKEXPORT_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { BLAKE2B_BLOCK = 128, BLAKE2B_DIGEST = 16 };

static inline uint64_t blake2b_turned(uint64_t word, int by) { return word >> by | word << (64 - by); }

static inline void blake2b_mix(uint64_t *v, int a, int b, int c, int d, uint64_t x, uint64_t y) {
    v[a] += v[b] + x;
    v[d] = blake2b_turned(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = blake2b_turned(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = blake2b_turned(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = blake2b_turned(v[b] ^ v[c], 63);
}

/* `length` is at most BLAKE2B_BLOCK. Words are loaded as a little-endian machine has them. */
static void blake2b_16(const char *bytes, size_t length, uint8_t *digest) {
    static const uint64_t start[8] = {
        0x6A09E667F3BCC908u, 0xBB67AE8584CAA73Bu, 0x3C6EF372FE94F82Bu, 0xA54FF53A5F1D36F1u,
        0x510E527FADE682D1u, 0x9B05688C2B3E6C1Fu, 0x1F83D9ABFB41BD6Bu, 0x5BE0CD19137E2179u,
    };
    static const uint8_t order[12][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    };
    const uint64_t first = start[0] ^ 0x01010000u ^ BLAKE2B_DIGEST; /* a tree of one leaf, no key */
    uint64_t block[16] = {0}, v[16];
    memcpy(block, bytes, length);
    memcpy(v, start, sizeof start);
    memcpy(v + 8, start, sizeof start);
    v[0] = first;
    v[12] ^= length;
    v[14] = ~v[14]; /* it is the last block */
    for (int round = 0; round < 12; round++) {
        const uint8_t *at = order[round];
        blake2b_mix(v, 0, 4, 8, 12, block[at[0]], block[at[1]]);
        blake2b_mix(v, 1, 5, 9, 13, block[at[2]], block[at[3]]);
        blake2b_mix(v, 2, 6, 10, 14, block[at[4]], block[at[5]]);
        blake2b_mix(v, 3, 7, 11, 15, block[at[6]], block[at[7]]);
        blake2b_mix(v, 0, 5, 10, 15, block[at[8]], block[at[9]]);
        blake2b_mix(v, 1, 6, 11, 12, block[at[10]], block[at[11]]);
        blake2b_mix(v, 2, 7, 8, 13, block[at[12]], block[at[13]]);
        blake2b_mix(v, 3, 4, 9, 14, block[at[14]], block[at[15]]);
    }
    const uint64_t words[2] = {first ^ v[0] ^ v[8], start[1] ^ v[1] ^ v[9]};
    memcpy(digest, words, sizeof words);
}

#endif
