/* Room in buffers that grow: the one way in which any of them gets larger.
 *
 * Rules: no count and no size is trusted. Whatever would not fit a size_t is out of memory, like what malloc refuses.
 */
#ifndef MOCKEXPORT_ROOM_H
#define MOCKEXPORT_ROOM_H

#include <stddef.h>
#include <stdlib.h>

/* The least that a buffer grows to, in items. */
#define LEAST_ROOM 16

static __attribute__((noinline)) int grow_room(void **items, size_t *capacity, size_t count, size_t more,
                                               size_t size) {
    size_t needed, wanted, bytes;
    if (__builtin_add_overflow(count, more, &needed) || __builtin_add_overflow(needed, count / 2, &wanted)) {
        return -1;
    }
    wanted = wanted < LEAST_ROOM ? LEAST_ROOM : wanted;
    if (__builtin_mul_overflow(wanted, size, &bytes)) {
        return -1;
    }
    void *grown = realloc(*items, bytes);
    if (grown == NULL) {
        return -1;
    }
    *items = grown;
    *capacity = wanted;
    return 0;
}

/* Make room for `more` items of `size` bytes each beside the `count` that are there; half as much again at a time, so
 * that little lies idle. Return 0, or -1 when memory is out, with everything as it was. */
static inline int reserve(void **items, size_t *capacity, size_t count, size_t more, size_t size) {
    return *capacity >= count && *capacity - count >= more ? 0 : grow_room(items, capacity, count, more, size);
}

#endif
