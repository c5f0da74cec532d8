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

/* protocol.MAX_COUNT, protocol.MAX_SIZE and protocol.MAX_VALUE_SIZE */
#define MAX_COUNT 1000000000000000ULL
#define MAX_SIZE (1LL << 62)
#define MAX_VALUE_SIZE ((wide)1 << 110)

typedef struct {
    const uint8_t *at;
    size_t left;
} byte_source;

static inline uint64_t word_at(const uint8_t *column, size_t number) {
    return load64(column + 8 * number);
}

static inline wide wide_at(const uint8_t *columns, size_t number, size_t count) {
    return (wide)((wide_size)word_at(columns, count + number) << 64 | word_at(columns, number));
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

/* The numbers of a group that only the state's bytes hold together. */
typedef struct {
    big total;
    wide low, high;
} value_sums;

/* Whether some values come to a group's numbers (Group.from_plain). */
static int is_group(const group *of, const value_sums *sums) {
    if (of->count == 0 || of->count > MAX_COUNT || sums->low < -MAX_VALUE_SIZE || sums->low > sums->high ||
        sums->high > MAX_VALUE_SIZE || of->anomalies > of->count || of->first_us < -MAX_SIZE ||
        of->first_us > of->last_us || of->last_us > MAX_SIZE) {
        return 0;
    }
    big least = big_of(sums->low), most = big_of(sums->high);
    scale_big(&least, of->count);
    scale_big(&most, of->count);
    return is_within(&least, &sums->total) && is_within(&sums->total, &most);
}

/* Put sums into a group, among those of narrow values if they can be of such: 0, or -1 when memory is out. */
static int put_sums(group *into, const value_sums *sums) {
    big total = sums->total;
    int64_t low, high;
    if (narrow_of(sums->low, &low) && narrow_of(sums->high, &high) && divide_big(&total)) {
        into->total_low = total.words[0];
        into->total_high = total.words[1];
        into->low = low;
        into->high = high;
        return 0;
    }
    if (make_apart(into) == NULL) {
        return -1;
    }
    into->apart->total = sums->total;
    into->apart->low = sums->low;
    into->apart->high = sums->high;
    return 0;
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
#define COLUMN(number) (numbers + (number) * count * sizeof(uint64_t))
        const uint64_t sign = (uint64_t)((int64_t)word_at(COLUMN(3), i) >> 63);
        const value_sums sums = {
            {{word_at(COLUMN(1), i), word_at(COLUMN(2), i), word_at(COLUMN(3), i), sign, sign, sign}},
            wide_at(COLUMN(4), i, count),
            wide_at(COLUMN(6), i, count)};
        int64_t number = intern_group(state, patient, type);
        if (number < 0) {
            return -1;
        }
        group *into = &state->groups[number];
        into->count = word_at(COLUMN(0), i);
        into->anomalies = word_at(COLUMN(8), i);
        into->first_us = (int64_t)word_at(COLUMN(9), i);
        into->last_us = (int64_t)word_at(COLUMN(10), i);
#undef COLUMN
        if (!is_group(into, &sums)) {
            return NO_STATE;
        }
        if (put_sums(into, &sums) < 0) {
            return -1;
        }
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

/* Whether some values with a group's count and total have these squares (Squares.check). */
static int are_squares(const big *squares, const group *of) {
    big total = total_of(of), most = square_of(MAX_VALUE_SIZE), all = *squares;
    if (is_negative(&total)) {
        negate_big(&total);
    }
    total = product_of(&total, &total);
    scale_big(&most, of->count);
    scale_big(&all, of->count);
    /* In this order: what is beyond `most` may not fit when it is scaled. */
    return is_within(squares, &most) && is_within(&total, &all);
}

static int load_squares(byte_source *from, summary_state *state) {
    size_t count = state->count;
    const uint8_t *words = take_items(from, count, SQUARES_WORDS * sizeof(uint64_t));
    if (words == NULL) {
        return NO_STATE;
    }
    for (size_t i = 0; i < count; i++) {
        big squares = {{0}}, narrow;
        for (size_t word = 0; word < SQUARES_WORDS; word++) {
            squares.words[word] = word_at(words, word * count + i);
        }
        if (!are_squares(&squares, &state->groups[i])) {
            return NO_STATE;
        }
        narrow = squares;
        if (divide_big(&narrow) && divide_big(&narrow) && (narrow.words[3] | narrow.words[4]) == 0) {
            memcpy(state->family_groups[i].squares, narrow.words, sizeof state->family_groups[i].squares);
        } else if (make_apart(&state->groups[i]) == NULL) {
            return -1;
        } else {
            state->groups[i].apart->squares = squares;
        }
    }
    return 0;
}

/* Take one entry of a counter: 0, NO_STATE, or -1. `of` is the group if these are its values, else NULL. */
static int load_entry(counter *into, group *of, wide key, uint64_t count) {
    int64_t narrow;
    if (of == NULL) {
        return key <= -MAX_SIZE || key >= MAX_SIZE ? NO_STATE : add_key(into, (int64_t)key, count);
    }
    if (key <= -MAX_VALUE_SIZE || key >= MAX_VALUE_SIZE || (into->over && middle_of(bucket_of(key)) != key)) {
        return NO_STATE;
    }
    if (into->over) {
        return add_key(into, bucket_of(key), count);
    }
    if (narrow_of(key, &narrow)) {
        return add_key(into, narrow, count);
    }
    return make_apart(of) == NULL ? -1 : add_wide_to_values(into, of->apart, key, count);
}

/* Fill a counter, all zeros so far, with `entries` entries from number `first` of `all` on, whose keys ascend, and which
 * count `count` values. */
static int load_counter(counter *into, group *of, int is_course, int over, const uint8_t *keys, const uint8_t *counts, size_t first,
                        size_t entries, size_t all, uint64_t count) {
    uint64_t counted_so_far = 0;
    into->over = (uint8_t)over;
    if (is_course) {
        if (over >= COURSE_LEVELS || (entries > MAX_ENTRIES && over < COURSE_LEVELS - 1)) {
            return NO_STATE;
        }
    } else if (over > 1) {
        return NO_STATE;
    } else if (over && of == NULL) {
        return entries == 0 ? 0 : NO_STATE;
    } else if (!over && entries > (of != NULL ? MAX_EXACT_VALUES : MAX_UNITS)) {
        return NO_STATE;
    }
    for (size_t i = first; i < first + entries; i++) {
        wide key = wide_at(keys, i, all);
        uint64_t times = word_at(counts, i);
        if ((i != first && key <= wide_at(keys, i - 1, all)) || times == 0 || times > count - counted_so_far) {
            return NO_STATE;
        }
        counted_so_far += times;
        int result = load_entry(into, of, key, times);
        if (result < 0) {
            return result;
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
    const uint8_t *keys = take_items(from, entries, 2 * sizeof(uint64_t));
    const uint8_t *counts = take_items(from, entries, sizeof(uint64_t));
    if (keys == NULL || counts == NULL) {
        return NO_STATE;
    }
    size_t first = 0;
    for (size_t i = 0; i < count; i++) {
        size_t own = place_at(used, i);
        counter *into = (counter *)((uint8_t *)&state->family_groups[i] + offset);
        group *of = &state->groups[i];
        int result = load_counter(into, of_values ? of : NULL, offset == offsetof(family_group, course), over[i], keys,
                                  counts, first, own, entries, of->count);
        if (result < 0) {
            return result;
        }
        first += own;
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
