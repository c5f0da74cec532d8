/* How often each of some integers came.
 *
 * Rules: nothing of what they stand for. Functions that allocate return 0, or -1 when memory is out.
 */
#ifndef MOCKEXPORT_COUNTING_H
#define MOCKEXPORT_COUNTING_H

#include <stdint.h>
#include <stdlib.h>

#include "hash.h"

typedef struct {
    int64_t key;
    uint64_t count; /* 0: a free slot */
} counted;

/* How often each of some integers came. 16 bytes, and none elsewhere before the first. */
typedef struct {
    counted *slots;
    uint32_t used;
    uint8_t bits; /* log2 of the number of slots */
    uint8_t over; /* more different keys came than are kept apart; of a course, its level */
} counter;

/* Few groups have many values, so a counter begins with a cache line. */
#define LEAST_COUNTER_BITS 2

static inline uint32_t counter_slot(int64_t key, unsigned bits) {
    return (uint32_t)(mix((uint64_t)key ^ hash_key[0], hash_key[1]) >> (64 - bits));
}

/* The slot of a key: its own, or the free one where it would be. */
static inline counted *find_key(const counter *in, int64_t key) {
    uint32_t last = (uint32_t)((1ULL << in->bits) - 1), slot = counter_slot(key, in->bits);
    while (in->slots[slot].count != 0 && in->slots[slot].key != key) {
        slot = (slot + 1) & last;
    }
    return &in->slots[slot];
}

static int grow_counter(counter *in) {
    counter grown = {NULL, in->used, (uint8_t)(in->slots == NULL ? LEAST_COUNTER_BITS : in->bits + 1), in->over};
    grown.slots = calloc((size_t)1 << grown.bits, sizeof *grown.slots);
    if (grown.slots == NULL) {
        return -1;
    }
    if (in->slots != NULL) {
        for (size_t old = 0; old < (size_t)1 << in->bits; old++) {
            if (in->slots[old].count != 0) {
                *find_key(&grown, in->slots[old].key) = in->slots[old];
            }
        }
        free(in->slots);
    }
    *in = grown;
    return 0;
}

/* A key that is new, or comes before there are any slots: three quarters of them may be taken. */
static __attribute__((noinline)) int add_new_key(counter *into, int64_t key, uint64_t count) {
    if (into->slots == NULL || ((uint64_t)into->used + 1) * 4 > (3ULL << into->bits)) {
        if (grow_counter(into) < 0) {
            return -1;
        }
    }
    counted *at = find_key(into, key);
    into->used += at->count == 0;
    at->key = key;
    at->count += count;
    return 0;
}

static inline int add_key(counter *into, int64_t key, uint64_t count) {
    if (__builtin_expect(into->slots != NULL, 1)) {
        counted *at = find_key(into, key);
        if (__builtin_expect(at->count != 0, 1)) {
            at->count += count;
            return 0;
        }
    }
    return add_new_key(into, key, count);
}

#endif
