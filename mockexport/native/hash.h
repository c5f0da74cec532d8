/* One way to mix bits, and keys that nobody outside this process knows.
 *
 * Rows are somebody else's, and must not be able to choose collisions: whatever is looked up by hash is mixed with these.
 */
#ifndef MOCKEXPORT_HASH_H
#define MOCKEXPORT_HASH_H

#include <stdint.h>

/* Drawn once per process. */
static uint64_t hash_key[2] = {0x9E3779B97F4A7C15ULL, 0xD1B54A32D192ED03ULL};

static inline uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#endif
