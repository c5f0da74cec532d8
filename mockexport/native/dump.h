/* A state as bytes, which reducers/packing.py says the format of: groups as columns, in the order of their ids.
 *
 * Rules: the reference's bytes are the law. Ids are compared as bytes, which for UTF-8 is the order of code points, and
 * so Python's order of texts. Groups without values are left out, and ids that are in no other; load.h reads it.
 */
#ifndef MOCKEXPORT_DUMP_H
#define MOCKEXPORT_DUMP_H

#include "state.h"

/* The columns of words that every group has; and how many words there are of a sum of squares. */
#define NUMBER_COLUMNS 11
#define SQUARES_WORDS 5

typedef struct {
    uint8_t *bytes;
    size_t used, size;
} byte_buffer;

typedef struct {
    uint64_t rank; /* of the patient << 32 | of the event type */
    uint32_t number;
} ranked;

typedef struct {
    const uint8_t *bytes;
    uint32_t length, number;
} named;

/* The ids that are in use, in order, and where each is among them. */
typedef struct {
    named *names;
    uint32_t *ranks; /* by number */
    uint32_t count;
} id_order;

static int by_name(const void *left, const void *right) {
    const named *a = left, *b = right;
    int order = memcmp(a->bytes, b->bytes, a->length < b->length ? a->length : b->length);
    return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

/* Put groups into the order of 32 bits of their rank, of `ranks` different ones; those that are equal stay in theirs. */
static int sort_by_part(const ranked *from, ranked *into, size_t count, unsigned shift, size_t ranks) {
    size_t *places = calloc(ranks + 1, sizeof *places);
    if (places == NULL) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        places[(uint32_t)(from[i].rank >> shift) + 1]++;
    }
    for (size_t rank = 1; rank <= ranks; rank++) {
        places[rank] += places[rank - 1];
    }
    for (size_t i = 0; i < count; i++) {
        into[places[(uint32_t)(from[i].rank >> shift)]++] = from[i];
    }
    free(places);
    return 0;
}

static int begin_order(id_order *order, const id_table *table) {
    order->names = calloc((size_t)table->count + 1, sizeof *order->names);
    order->ranks = calloc((size_t)table->count + 1, sizeof *order->ranks);
    return order->names == NULL || order->ranks == NULL ? -1 : 0;
}

static void put_in_order(id_order *order, const id_table *table) {
    for (uint32_t i = 0; i < table->count; i++) {
        if (order->ranks[i] != 0) { /* it is in use */
            order->names[order->count++] = (named){id_bytes(table, i), id_length(&table->records[i]), i};
        }
    }
    qsort(order->names, order->count, sizeof *order->names, by_name);
    for (uint32_t i = 0; i < order->count; i++) {
        order->ranks[order->names[i].number] = i;
    }
}

static void free_order(id_order *order) {
    free(order->names);
    free(order->ranks);
}

/* Room for `size` bytes at the end; NULL when memory is out. */
static uint8_t *put_bytes(byte_buffer *out, size_t size) {
    if (reserve((void **)&out->bytes, &out->size, out->used, size, 1) < 0) {
        return NULL;
    }
    out->used += size;
    return out->bytes + out->used - size;
}

static inline void put_word(uint8_t *out, size_t number, uint64_t word) {
    memcpy(out + 8 * number, &word, 8);
}

static int put_ids(byte_buffer *out, const id_order *order) {
    uint8_t *lengths = put_bytes(out, order->count * sizeof(uint16_t)), *bytes;
    if (lengths == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < order->count; i++) {
        uint16_t length = (uint16_t)order->names[i].length;
        memcpy(lengths + i * sizeof length, &length, sizeof length);
    }
    for (uint32_t i = 0; i < order->count; i++) {
        if ((bytes = put_bytes(out, order->names[i].length)) == NULL) {
            return -1;
        }
        memcpy(bytes, order->names[i].bytes, order->names[i].length);
    }
    return 0;
}

static int put_groups(byte_buffer *out, const summary_state *state, const ranked *order, size_t count) {
    uint8_t *places = put_bytes(out, 2 * count * sizeof(uint32_t));
    if (places == NULL) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t patient = (uint32_t)(order[i].rank >> 32), type = (uint32_t)order[i].rank;
        memcpy(places + i * sizeof patient, &patient, sizeof patient);
        memcpy(places + (count + i) * sizeof type, &type, sizeof type);
    }
    uint8_t *numbers = put_bytes(out, NUMBER_COLUMNS * count * sizeof(uint64_t));
    if (numbers == NULL) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        const group *at = &state->groups[order[i].number];
        const big total = total_of(at);
        const wide_size low = (wide_size)low_of(at), high = (wide_size)high_of(at);
        const uint64_t words[NUMBER_COLUMNS] = {at->count, total.words[0], total.words[1], total.words[2],
                                                (uint64_t)low, (uint64_t)(low >> 64), (uint64_t)high,
                                                (uint64_t)(high >> 64), at->anomalies, (uint64_t)at->first_us,
                                                (uint64_t)at->last_us};
        for (size_t column = 0; column < NUMBER_COLUMNS; column++) {
            put_word(numbers, column * count + i, words[column]);
        }
    }
    return 0;
}

static int put_squares(byte_buffer *out, const summary_state *state, const ranked *order, size_t count) {
    uint8_t *words = put_bytes(out, SQUARES_WORDS * count * sizeof(uint64_t));
    if (words == NULL) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        const big squares = squares_of(&state->groups[order[i].number], &state->family_groups[order[i].number]);
        for (size_t word = 0; word < SQUARES_WORDS; word++) {
            put_word(words, word * count + i, squares.words[word]);
        }
    }
    return 0;
}

static const counter *counter_at(const summary_state *state, uint32_t number, size_t offset) {
    return (const counter *)((const uint8_t *)&state->family_groups[number] + offset);
}

/* A family that counts apart: the counter at `offset` of every group, of values or of hours and the like. */
static int put_counters(byte_buffer *out, const summary_state *state, const ranked *order, size_t count,
                        size_t offset, int of_values) {
    size_t entries = 0, put = 0;
    uint8_t *over = put_bytes(out, count), *used = over == NULL ? NULL : put_bytes(out, count * sizeof(uint32_t));
    if (used == NULL) {
        return -1;
    }
    over = used - count; /* it may have moved */
    for (size_t i = 0; i < count; i++) {
        const counter *of = counter_at(state, order[i].number, offset);
        uint32_t all = of->used + (of_values ? (uint32_t)wide_values(state->groups[order[i].number].apart) : 0);
        over[i] = of->over;
        memcpy(used + i * sizeof all, &all, sizeof all);
        entries += all;
    }
    uint8_t *words = put_bytes(out, 3 * entries * sizeof(uint64_t));
    if (words == NULL) {
        return -1;
    }
    used = words - count * sizeof(uint32_t);
    for (size_t i = 0; i < count; i++) {
        const wide_part *apart = state->groups[order[i].number].apart;
        wide_counted *sorted = sorted_counts(counter_at(state, order[i].number, offset), apart, of_values);
        uint32_t all = load32(used + i * sizeof all);
        if (sorted == NULL) {
            return -1;
        }
        for (uint32_t entry = 0; entry < all; entry++, put++) {
            put_word(words, put, (uint64_t)sorted[entry].key);
            put_word(words, entries + put, (uint64_t)((wide_size)sorted[entry].key >> 64));
            put_word(words, 2 * entries + put, sorted[entry].count);
        }
        free(sorted);
    }
    return 0;
}

static int put_families(byte_buffer *out, const summary_state *state, const ranked *order, size_t count) {
    if ((state->families & FAMILY_SQUARES) && put_squares(out, state, order, count) < 0) {
        return -1;
    }
    for (size_t i = 0; i < COUNTER_FAMILIES; i++) {
        if ((state->families & counter_families[i].family) &&
            put_counters(out, state, order, count, counter_families[i].offset, i == 0) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Put the state's bytes into a buffer, all zeros so far, whose bytes are to be freed whatever comes of it. Return 0, or
 * -1 when memory is out. */
static int dump_state(const summary_state *state, byte_buffer *out) {
    id_order patients = {0}, types = {0};
    ranked *order = calloc((size_t)state->count + 1, sizeof *order);
    ranked *spare = calloc((size_t)state->count + 1, sizeof *spare);
    size_t count = 0;
    uint8_t *head;
    int result = -1;
    if (order == NULL || spare == NULL || begin_order(&patients, &state->patients) < 0 || begin_order(&types, &state->types) < 0) {
        goto done;
    }
    for (uint32_t i = 0; i < state->count; i++) {
        if (state->groups[i].count != 0) {
            order[count++].number = i;
            patients.ranks[state->groups[i].patient] = types.ranks[state->groups[i].type] = 1;
        }
    }
    put_in_order(&patients, &state->patients);
    put_in_order(&types, &state->types);
    for (size_t i = 0; i < count; i++) {
        const group *at = &state->groups[order[i].number];
        order[i].rank = (uint64_t)patients.ranks[at->patient] << 32 | types.ranks[at->type];
    }
    if (sort_by_part(order, spare, count, 0, types.count) < 0 ||
        sort_by_part(spare, order, count, 32, patients.count) < 0) {
        goto done;
    }
    if ((head = put_bytes(out, 3 * sizeof(uint64_t))) == NULL) {
        goto done;
    }
    put_word(head, 0, patients.count);
    put_word(head, 1, types.count);
    put_word(head, 2, count);
    if (put_ids(out, &patients) == 0 && put_ids(out, &types) == 0 && put_groups(out, state, order, count) == 0 &&
        (state->families == 0 || put_families(out, state, order, count) == 0)) {
        result = 0;
    }
done:
    free(order);
    free(spare);
    free_order(&patients);
    free_order(&types);
    return result;
}

#endif
