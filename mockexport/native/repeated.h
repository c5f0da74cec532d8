/* Which resources come more than once, by their keys of 16 bytes. */
#ifndef MOCKEXPORT_REPEATED_H
#define MOCKEXPORT_REPEATED_H

#include "hash.h"
#include "ids.h"

/* Sets again[row] for each row where a resource begins whose key begins another one, too. Returns how many there are; -1
   when memory is out. Takes 4 to 8 bytes a row. `row_count` is less than 2³¹. */
static int64_t find_repeated(const uint8_t *keys, const uint16_t *places, size_t row_count, uint8_t *again) {
    size_t size = 2;
    while (size < row_count + row_count / 2) {
        size *= 2;
    }
    uint32_t *slots = calloc(size, sizeof *slots); /* row + 1; 0 is free */
    if (slots == NULL) {
        return -1;
    }
    int64_t found = 0;
    for (size_t row = 0; row < row_count; row++) {
        if (places[row] != 0 && places[row] != ROWLESS) {
            continue;
        }
        const uint8_t *key = keys + 16 * row;
        size_t slot = mix(load64(key) ^ hash_key[0], load64(key + 8) ^ hash_key[1]) & (size - 1);
        while (slots[slot] != 0 && memcmp(keys + 16 * (size_t)(slots[slot] - 1), key, 16) != 0) {
            slot = (slot + 1) & (size - 1);
        }
        if (slots[slot] == 0) {
            slots[slot] = (uint32_t)row + 1;
        } else {
            found += 1 + !again[slots[slot] - 1];
            again[slots[slot] - 1] = again[row] = 1;
        }
    }
    free(slots);
    return found;
}

#endif
