/* Ids: numbered by first appearance, never forgotten, so that a caller may remember "the first n"; and what an id is.
 *
 * Rules: no Python, no parsing, no groups. A look-up costs the same from four ids to four million: a slot of eight bytes,
 * and the record to prove that it is the right one.
 *
 * Every function that allocates returns 0 or a valid number on success, and a negative number when memory is out;
 * NO_ID where the bytes are no id.
 */
#ifndef MOCKEXPORT_IDS_H
#define MOCKEXPORT_IDS_H

#include "hash.h"
#include "index.h"
#include "room.h"

/* A longer id is no id (formats.fields.MAX_ID_BYTES). */
#define MAX_ID_BYTES 256
/* Ids up to this length are held in their record; longer ones in the arena. */
#define SHORT_ID_BYTES 16
#define NONE UINT32_MAX
#define NO_ID (-2)

/* An id as it is compared: its bytes, zeros behind them, or, for a long one, its hash; and its length. */
typedef struct {
    uint64_t low, high;
    uint64_t form;  /* length, and PLAIN if a field may hold the id without quotes and be right */
    uint64_t place; /* of a long one in the arena */
} id_record;

#define PLAIN (1ULL << 32)

typedef struct {
    id_record *records;
    uint32_t count;
    size_t capacity;
    uint64_t *slots; /* hash << 32 | number + 1; 0 is free */
    unsigned bits;   /* log2 of the number of slots */
    uint8_t *arena;
    size_t used, size;
} id_table;

/* The least number of slots: 8 KiB. With few groups two hardly ever meet, and a look-up that is always right at once
 * is one that the processor guesses right. */
#define LEAST_BITS 10

/* Whether a table of 2^bits slots is too full for `count` numbers: three quarters, where memory counts. */
static inline int is_crowded(uint32_t count, unsigned bits) {
    return (uint64_t)count * 4 >= (1ULL << bits) * 3;
}

/* From SHORT_ID_BYTES - n on: what keeps the first n bytes of as many. */
static const uint8_t kept_bytes[2 * SHORT_ID_BYTES] = {
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};

/* The first `length` bytes of a word, zeros behind them. */
static inline uint64_t keep_bytes(uint64_t word, uint32_t length) {
    return word & load64(kept_bytes + SHORT_ID_BYTES - length);
}

static uint64_t hash_bytes(const uint8_t *bytes, uint32_t length) {
    uint64_t hash = mix(length ^ hash_key[0], hash_key[1]);
    uint32_t at = 0;
    for (; length - at >= 8; at += 8) {
        hash = mix(hash ^ load64(bytes + at), hash_key[1]);
    }
    uint64_t rest = 0;
    memcpy(&rest, bytes + at, length - at);
    return mix(hash ^ rest, hash_key[0]);
}

/* What a look-up compares of an id of up to SHORT_ID_BYTES; `at` must be followed by PADDING readable bytes. */
static inline word_pair short_id(const uint8_t *at, uint32_t length) {
    return load_pair(at) & load_pair(kept_bytes + SHORT_ID_BYTES - length);
}

/* The same of any id. */
static inline void id_words(const uint8_t *at, uint32_t length, uint64_t *low, uint64_t *high) {
    if (__builtin_expect(length <= SHORT_ID_BYTES, 1)) {
        const word_pair words = short_id(at, length);
        *low = words[0];
        *high = words[1];
    } else {
        *low = hash_bytes(at, length);
        *high = 0;
    }
}

static inline uint32_t id_hash(uint64_t low, uint64_t high, uint32_t length) {
    return (uint32_t)(mix(low ^ hash_key[0], high ^ length ^ hash_key[1]) >> 32);
}

static inline uint32_t id_length(const id_record *record) {
    return (uint32_t)record->form;
}

static inline int is_plain(const id_record *record) {
    return (record->form & PLAIN) != 0;
}

static inline int same_id(const id_table *table, const id_record *record, uint64_t low, uint64_t high, uint32_t length,
                          const uint8_t *bytes) {
    return record->low == low && record->high == high && id_length(record) == length &&
           (length <= SHORT_ID_BYTES || memcmp(table->arena + record->place, bytes, length) == 0);
}

/* The id's bytes; those of a short one are in the record itself. */
static inline const uint8_t *id_bytes(const id_table *table, uint32_t number) {
    const id_record *record = &table->records[number];
    return id_length(record) <= SHORT_ID_BYTES ? (const uint8_t *)record : table->arena + record->place;
}

/* Where the slots of a hash begin: its upper bits, which are the best mixed. */
static inline uint32_t slot_of(uint32_t hash, unsigned bits) {
    return (uint32_t)((uint64_t)hash >> (32 - bits));
}

static uint32_t find_id(const id_table *table, uint64_t low, uint64_t high, uint32_t length, const uint8_t *bytes) {
    if (table->count == 0) {
        return NONE;
    }
    uint32_t hash = id_hash(low, high, length), last = (uint32_t)((1ULL << table->bits) - 1);
    for (uint32_t slot = slot_of(hash, table->bits);; slot = (slot + 1) & last) {
        uint64_t entry = table->slots[slot];
        if (entry == 0) {
            return NONE;
        }
        if ((uint32_t)(entry >> 32) == hash) {
            uint32_t number = (uint32_t)entry - 1;
            if (same_id(table, &table->records[number], low, high, length, bytes)) {
                return number;
            }
        }
    }
}

/* Grow `*slots` to 2^bits and put every entry in its new place. */
static int regrow_slots(uint64_t **slots, unsigned *bits, unsigned wanted) {
    if (wanted > 31) {
        return -1;
    }
    uint64_t *grown = calloc((size_t)1 << wanted, sizeof *grown);
    if (grown == NULL) {
        return -1;
    }
    uint32_t last = (uint32_t)((1ULL << wanted) - 1);
    if (*slots != NULL) {
        for (size_t old = 0; old < (size_t)1 << *bits; old++) {
            if ((*slots)[old] != 0) {
                uint32_t slot = slot_of((uint32_t)((*slots)[old] >> 32), wanted);
                while (grown[slot] != 0) {
                    slot = (slot + 1) & last;
                }
                grown[slot] = (*slots)[old];
            }
        }
        free(*slots);
    }
    *slots = grown;
    *bits = wanted;
    return 0;
}

static int put_slot(uint64_t **slots, unsigned *bits, uint32_t count, uint32_t hash) {
    if (*slots == NULL || is_crowded(count + 1, *bits)) {
        if (regrow_slots(slots, bits, *slots == NULL ? LEAST_BITS : *bits + 1) < 0) {
            return -1;
        }
    }
    uint32_t last = (uint32_t)((1ULL << *bits) - 1), slot = slot_of(hash, *bits);
    while ((*slots)[slot] != 0) {
        slot = (slot + 1) & last;
    }
    (*slots)[slot] = (uint64_t)hash << 32 | (count + 1);
    return 0;
}

/* Give a text that is not in the table its number. */
static int64_t add_text(id_table *table, uint64_t low, uint64_t high, uint32_t length, const uint8_t *bytes, int plain) {
    if (reserve((void **)&table->records, &table->capacity, table->count, 1, sizeof *table->records) < 0) {
        return -1;
    }
    if (length > SHORT_ID_BYTES) {
        if (reserve((void **)&table->arena, &table->size, table->used, length, 1) < 0) {
            return -1;
        }
        memcpy(table->arena + table->used, bytes, length);
    }
    if (put_slot(&table->slots, &table->bits, table->count, id_hash(low, high, length)) < 0) {
        return -1;
    }
    table->records[table->count] = (id_record){low, high, length | (plain ? PLAIN : 0), table->used};
    if (length > SHORT_ID_BYTES) {
        table->used += length;
    }
    return table->count++;
}

/* Give an id that is not in the table its number; NO_ID if it is empty or too long. */
static int64_t add_id(id_table *table, uint64_t low, uint64_t high, uint32_t length, const uint8_t *bytes, int plain) {
    return length == 0 || length > MAX_ID_BYTES ? NO_ID : add_text(table, low, high, length, bytes, plain);
}

static void free_ids(id_table *table) {
    free(table->records);
    free(table->slots);
    free(table->arena);
}

/* ---- is it an id? ---- */

/* The length of the UTF-8 sequence at the start of `size` bytes, or 0: as RFC 3629 has it, so no surrogates, no
 * overlong forms, nothing beyond U+10FFFF. */
static inline uint32_t utf8_sequence(const uint8_t *at, size_t size) {
    uint8_t first = at[0];
    if (first < 0x80) {
        return 1;
    }
    uint32_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || size < length) {
        return 0;
    }
    for (uint32_t i = 1; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    if ((first == 0xE0 && at[1] < 0xA0) || (first == 0xED && at[1] > 0x9F) || (first == 0xF0 && at[1] < 0x90) ||
        (first == 0xF4 && at[1] > 0x8F)) {
        return 0;
    }
    return length;
}

/* Whether bytes are text: UTF-8, no NUL. */
static int is_text(const uint8_t *bytes, size_t length) {
    for (size_t at = 0; at < length;) {
        uint64_t word;
        if (length - at >= 8 && ((word = load64(bytes + at)) & 0x8080808080808080ULL) == 0 && zero_bytes(word) == 0) {
            at += 8;
            continue;
        }
        const uint32_t step = bytes[at] == 0 ? 0 : utf8_sequence(bytes + at, length - at);
        if (step == 0) {
            return 0;
        }
        at += step;
    }
    return 1;
}

/* Whether a field may hold these bytes without quotes: text without a quote. (Delimiters and line ends it cannot hold: it
 * was cut at them.) */
static int is_plain_text(const uint8_t *bytes, size_t length) {
    return memchr(bytes, '"', length) == NULL && is_text(bytes, length);
}

/* Whether a field may hold an id without quotes and be right: it is text, and no blanks stand at its ends, which would be
 * no part of it. */
static int is_plain_id(const uint8_t *bytes, size_t length) {
    const uint8_t first = length == 0 ? 0 : bytes[0], last = length == 0 ? 0 : bytes[length - 1];
    return first != ' ' && first != '\t' && last != ' ' && last != '\t' && is_plain_text(bytes, length);
}

#endif
