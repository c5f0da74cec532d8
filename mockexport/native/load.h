/* A state from bytes that dump.h, or the reference, wrote: see reducers/packing.py.
 *
 * Rules: the bytes are somebody else's. Nothing is taken on trust: sizes before they are read, and of every number that
 * it is what some rows could come to, as `Group.from_plain` and `Family.check` say it. What they refuse is refused here,
 * and nothing else. A state that could not be loaded is to be thrown away.
 *
 * Functions return 0, -1 when memory is out, or NO_STATE.
 */
#ifndef MOCKEXPORT_LOAD_H
#define MOCKEXPORT_LOAD_H

#include "dump.h"

#define NO_STATE (-3)

/* protocol.MAX_COUNT and protocol.MAX_SIZE */
#define MAX_COUNT 1000000000000000ULL
#define MAX_SIZE (1LL << 62)

typedef struct {
    const uint8_t *at;
    size_t left;
} byte_source;

static inline uint64_t word_at(const uint8_t *column, size_t number) {
    return load64(column + 8 * number);
}

static inline uint32_t place_at(const uint8_t *column, size_t number) {
    return load32(column + 4 * number);
}

/* Take `count` items of `size` bytes each from the front; NULL where there are fewer. */
static const uint8_t *take_items(byte_source *from, uint64_t count, size_t size) {
    const uint8_t *at = from->at;
    if (count > from->left / size) {
        return NULL;
    }
    from->at += count * size;
    from->left -= count * size;
    return at;
}

static int is_utf8(const uint8_t *bytes, size_t length) {
    for (size_t at = 0, step; at < length; at += step) {
        if ((step = utf8_sequence(bytes + at, length - at)) == 0) {
            return 0;
        }
    }
    return 1;
}

/* Take ids, ascending, into one of the state's tables, which is empty: their places become their numbers. */
static int load_ids(byte_source *from, summary_state *state, uint64_t count, int are_types) {
    uint8_t padded[MAX_ID_BYTES + PADDING] = {0};
    named before = {padded, 0, 0};
    const uint8_t *lengths = take_items(from, count, sizeof(uint16_t));
    if (lengths == NULL || count >= NONE) {
        return NO_STATE;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint16_t length;
        uint64_t low, high;
        memcpy(&length, lengths + i * sizeof length, sizeof length);
        const uint8_t *bytes = take_items(from, length, 1);
        if (bytes == NULL || length == 0 || length > MAX_ID_BYTES || !is_utf8(bytes, length)) {
            return NO_STATE;
        }
        named name = {bytes, length, 0};
        if (by_name(&before, &name) >= 0) {
            return NO_STATE;
        }
        before = name;
        memcpy(padded, bytes, length);
        id_words(padded, length, &low, &high);
        int plain = is_plain_id(bytes, length);
        int64_t number = are_types ? intern_type(state, low, high, length, bytes, plain)
                                   : intern_patient(state, low, high, length, bytes, plain);
        if (number < 0) {
            return -1;
        }
    }
    return 0;
}

/* Whether some values come to a group's numbers (Group.from_plain). */
static int is_group(const group *of) {
    __int128 total = (__int128)((unsigned __int128)of->total_high << 64 | of->total_low);
    return of->count != 0 && of->count <= MAX_COUNT && -MAX_SIZE <= of->low && of->low <= of->high &&
           of->high <= MAX_SIZE && (__int128)of->count * of->low <= total && total <= (__int128)of->count * of->high &&
           of->anomalies <= of->count && -MAX_SIZE <= of->first_us && of->first_us <= of->last_us &&
           of->last_us <= MAX_SIZE;
}

static int load_groups(byte_source *from, summary_state *state, uint64_t count) {
    const uint8_t *patients = take_items(from, count, sizeof(uint32_t));
    const uint8_t *types = take_items(from, count, sizeof(uint32_t));
    const uint8_t *numbers = take_items(from, count, NUMBER_COLUMNS * sizeof(uint64_t));
    if (patients == NULL || types == NULL || numbers == NULL || count >= NONE) {
        return NO_STATE;
    }
    if (reserve((void **)&state->groups, &state->capacity, 0, count, sizeof *state->groups) < 0) {
        return -1;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint32_t patient = place_at(patients, i), type = place_at(types, i);
        if (patient >= state->patients.count || type >= state->types.count ||
            (i != 0 && (patient < place_at(patients, i - 1) ||
                        (patient == place_at(patients, i - 1) && type <= place_at(types, i - 1))))) {
            return NO_STATE;
        }
        group loaded = {patient,
                        type,
                        word_at(numbers, i),
                        word_at(numbers, count + i),
                        word_at(numbers, 2 * count + i),
                        (int64_t)word_at(numbers, 3 * count + i),
                        (int64_t)word_at(numbers, 4 * count + i),
                        word_at(numbers, 5 * count + i),
                        (int64_t)word_at(numbers, 6 * count + i),
                        (int64_t)word_at(numbers, 7 * count + i)};
        if (!is_group(&loaded)) {
            return NO_STATE;
        }
        int64_t number = intern_group(state, patient, type);
        if (number < 0) {
            return -1;
        }
        state->groups[number] = loaded;
    }
    return 0;
}

/* Whether every id is in a group. */
static int are_ids_used(const summary_state *state) {
    uint8_t *used = calloc((size_t)state->types.count + 1, 1);
    uint32_t types = 0, patients = 0;
    if (used == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < state->count; i++) {
        const group *at = &state->groups[i];
        patients += i == 0 || at->patient != state->groups[i - 1].patient;
        types += !used[at->type];
        used[at->type] = 1;
    }
    free(used);
    return patients == state->patients.count && types == state->types.count ? 0 : NO_STATE;
}

/* Whether a * b <= c * d, of numbers in words, the lowest first. */
static int is_product_within(const uint64_t a[3], const uint64_t b[3], const uint64_t c[3], const uint64_t d[3]) {
    uint64_t products[2][6] = {{0}};
    for (int which = 0; which < 2; which++) {
        const uint64_t *left = which ? c : a, *right = which ? d : b;
        for (int i = 0; i < 3; i++) {
            uint64_t carry = 0;
            for (int j = 0; j < 3; j++) {
                unsigned __int128 sum = (unsigned __int128)left[i] * right[j] + products[which][i + j] + carry;
                products[which][i + j] = (uint64_t)sum;
                carry = (uint64_t)(sum >> 64);
            }
            products[which][i + 3] = carry;
        }
    }
    for (int i = 5; i >= 0; i--) {
        if (products[0][i] != products[1][i]) {
            return products[0][i] < products[1][i];
        }
    }
    return 1;
}

/* Whether some values with a group's count and total have these squares (Squares.check). */
static int are_squares(const uint64_t squares[3], const group *of) {
    unsigned __int128 total = (unsigned __int128)of->total_high << 64 | of->total_low;
    total = (int64_t)of->total_high < 0 ? 0 - total : total;
    const uint64_t size[3] = {(uint64_t)total, (uint64_t)(total >> 64), 0}, count[3] = {of->count, 0, 0};
    const uint64_t one[3] = {1, 0, 0}, most[3] = {0, of->count << 60, of->count >> 4}; /* count * MAX_SIZE^2 */
    return is_product_within(size, size, count, squares) && is_product_within(squares, one, most, one);
}

static int load_squares(byte_source *from, summary_state *state) {
    size_t count = state->count;
    const uint8_t *words = take_items(from, count, 3 * sizeof(uint64_t));
    if (words == NULL) {
        return NO_STATE;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t *squares = state->family_groups[i].squares;
        for (size_t word = 0; word < 3; word++) {
            squares[word] = word_at(words, word * count + i);
        }
        if (!are_squares(squares, &state->groups[i])) {
            return NO_STATE;
        }
    }
    return 0;
}

/* Fill a counter, all zeros so far, with entries whose keys ascend, and which count `count` values. */
static int load_counter(counter *into, int over, int of_values, const uint8_t *keys, const uint8_t *counts,
                        size_t entries, uint64_t count) {
    uint64_t counted_so_far = 0;
    into->over = (uint8_t)over;
    if (over && !of_values) {
        return entries == 0 ? 0 : NO_STATE;
    }
    if (!over && entries > (of_values ? MAX_EXACT_VALUES : MAX_UNITS)) {
        return NO_STATE;
    }
    for (size_t i = 0; i < entries; i++) {
        int64_t key = (int64_t)word_at(keys, i);
        uint64_t times = word_at(counts, i);
        if (key <= -MAX_SIZE || key >= MAX_SIZE || (i != 0 && key <= (int64_t)word_at(keys, i - 1)) ||
            (over && bucket_of(key) != key) || times == 0 || times > count - counted_so_far) {
            return NO_STATE;
        }
        counted_so_far += times;
        if (add_key(into, key, times) < 0) {
            return -1;
        }
    }
    return counted_so_far == count ? 0 : NO_STATE;
}

/* A family that counts apart: the counter at `offset` of every group. */
static int load_counters(byte_source *from, summary_state *state, size_t offset, int of_values) {
    size_t count = state->count;
    uint64_t entries = 0;
    const uint8_t *over = take_items(from, count, 1), *used = take_items(from, count, sizeof(uint32_t));
    if (over == NULL || used == NULL) {
        return NO_STATE;
    }
    for (size_t i = 0; i < count; i++) {
        entries += place_at(used, i);
    }
    const uint8_t *keys = take_items(from, entries, sizeof(uint64_t));
    const uint8_t *counts = take_items(from, entries, sizeof(uint64_t));
    if (keys == NULL || counts == NULL) {
        return NO_STATE;
    }
    for (size_t i = 0; i < count; i++) {
        size_t own = place_at(used, i);
        counter *into = (counter *)((uint8_t *)&state->family_groups[i] + offset);
        int result = over[i] > 1 ? NO_STATE
                                 : load_counter(into, over[i], of_values, keys, counts, own, state->groups[i].count);
        if (result < 0) {
            return result;
        }
        keys += own * sizeof(uint64_t);
        counts += own * sizeof(uint64_t);
    }
    return 0;
}

static int load_families(byte_source *from, summary_state *state) {
    int result = state->families & FAMILY_SQUARES ? load_squares(from, state) : 0;
    for (size_t i = 0; i < COUNTER_FAMILIES && result == 0; i++) {
        if (state->families & counter_families[i].family) {
            result = load_counters(from, state, counter_families[i].offset, i == 0);
        }
    }
    return result;
}

/* Load an empty state from bytes, all of them. */
static int load_state(summary_state *state, const uint8_t *bytes, size_t size) {
    byte_source from = {bytes, size};
    const uint8_t *head = take_items(&from, 3, sizeof(uint64_t));
    if (head == NULL) {
        return NO_STATE;
    }
    int result = load_ids(&from, state, word_at(head, 0), 0);
    result = result < 0 ? result : load_ids(&from, state, word_at(head, 1), 1);
    result = result < 0 ? result : load_groups(&from, state, word_at(head, 2));
    result = result < 0 ? result : are_ids_used(state);
    result = result < 0 || state->families == 0 ? result : load_families(&from, state);
    return result < 0 ? result : from.left == 0 ? 0 : NO_STATE;
}

#endif
