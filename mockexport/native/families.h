/* The families of statistics that are asked for by name, compiled: for a group, what `Selection` keeps beside Summary's.
 *
 * Rules: no Python, no parsing, no ids. What a family keeps, and when it is over its limit, is the reference's to say
 * (reducers/spread.py, histogram.py, calendar.py): whatever the order of values and merges, states are the same.
 *
 * Every function that allocates returns 0 on success, and a negative number when memory is out.
 */
#ifndef MOCKEXPORT_FAMILIES_H
#define MOCKEXPORT_FAMILIES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "counting.h"
#include "room.h"
#include "wide.h"

/* In the order in which a state holds them. */
enum { FAMILY_SQUARES = 1, FAMILY_VALUES = 2, FAMILY_HOURS = 4, FAMILY_DAYS = 8, FAMILY_COURSE = 16 };

/* histogram.MAX_EXACT_VALUES, histogram.KEPT_BITS, calendar.MAX_UNITS, course.MAX_ENTRIES and how many LEVELS */
#define MAX_EXACT_VALUES 4096
#define KEPT_BITS 8
#define MAX_UNITS 262144
#define MAX_ENTRIES 12000
#define COURSE_LEVELS 28
#define FAMILY_HOUR_US 3600000000LL
#define FAMILY_DAY_US (24 * FAMILY_HOUR_US)

/* Of narrow values; squares are in units of 10^-18, the lowest word first. Once there are too many different values,
 * `values` counts the buckets of all, by their numbers. */
typedef struct {
    uint64_t squares[3];
    counter values, hours, days, course;
} family_group;

typedef struct {
    wide key;
    uint64_t count;
} wide_counted;

/* What is kept of a group's wide values. */
typedef struct {
    big total, squares;
    wide low, high;       /* low > high: there is none yet */
    wide_counted *values; /* each that came, ascending; none of them once `values` of the family_group counts buckets */
    size_t used, capacity;
} wide_part;

/* Those that count apart, in the order in which a state holds them, and where a group has them. */
#define COUNTER_FAMILIES 4
static const struct {
    unsigned family;
    size_t offset;
} counter_families[COUNTER_FAMILIES] = {
    {FAMILY_VALUES, offsetof(family_group, values)},
    {FAMILY_HOURS, offsetof(family_group, hours)},
    {FAMILY_DAYS, offsetof(family_group, days)},
    {FAMILY_COURSE, offsetof(family_group, course)},
};

/* ---- values ---- */

/* The number of a value's bucket (histogram.bucket_of), in the order of the buckets: its leading bits, and how many more
 * there are. Of a short value, itself. */
static inline int64_t bucket_of(wide value) {
    wide_size size = size_of(value);
    if (size < 1 << KEPT_BITS) {
        return (int64_t)value;
    }
    uint64_t upper = (uint64_t)(size >> 64);
    int zeros = upper != 0 ? __builtin_clzll(upper) : 64 + __builtin_clzll((uint64_t)size);
    unsigned spare = 128 - KEPT_BITS - (unsigned)zeros;
    int64_t number = (int64_t)spare << KEPT_BITS | (int64_t)(size >> spare);
    return value < 0 ? -number : number;
}

static inline int64_t bucket_of_narrow(int64_t value) {
    return bucket_of((wide)value * UNIT);
}

/* The middle of a bucket. */
static wide middle_of(int64_t bucket) {
    int64_t number = bucket < 0 ? -bucket : bucket;
    unsigned spare = (unsigned)(number >> KEPT_BITS);
    if (spare == 0) {
        return bucket;
    }
    wide middle = ((wide)(number & ((1 << KEPT_BITS) - 1)) << spare) + ((wide)1 << (spare - 1));
    return bucket < 0 ? -middle : middle;
}

static inline size_t wide_values(const wide_part *of) {
    return of == NULL ? 0 : of->used;
}

/* Count all values by their buckets from now on; `apart` may be NULL. */
static __attribute__((noinline)) int make_coarse(counter *values, wide_part *apart) {
    counter coarse = {NULL, 0, 0, 1};
    if (values->over) {
        return 0;
    }
    for (size_t slot = 0; values->slots != NULL && slot < (size_t)1 << values->bits; slot++) {
        const counted *at = &values->slots[slot];
        if (at->count != 0 && add_key(&coarse, bucket_of_narrow(at->key), at->count) < 0) {
            free(coarse.slots);
            return -1;
        }
    }
    for (size_t i = 0; i < wide_values(apart); i++) {
        if (add_key(&coarse, bucket_of(apart->values[i].key), apart->values[i].count) < 0) {
            free(coarse.slots);
            return -1;
        }
    }
    free(values->slots);
    *values = coarse;
    if (apart != NULL) {
        free(apart->values);
        apart->values = NULL;
        apart->used = apart->capacity = 0;
    }
    return 0;
}

static inline int add_to_values(counter *into, wide_part *apart, int64_t value, uint64_t count) {
    if (add_key(into, into->over ? bucket_of_narrow(value) : value, count) < 0) {
        return -1;
    }
    return __builtin_expect(into->used + wide_values(apart) > MAX_EXACT_VALUES && !into->over, 0)
               ? make_coarse(into, apart)
               : 0;
}

static int add_wide_to_values(counter *into, wide_part *apart, wide value, uint64_t count) {
    if (into->over) {
        return add_key(into, bucket_of(value), count);
    }
    size_t low = 0, high = apart->used; /* its place is not below `low`, and not above `high` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (apart->values[middle].key < value) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < apart->used && apart->values[low].key == value) {
        apart->values[low].count += count;
        return 0;
    }
    if (reserve((void **)&apart->values, &apart->capacity, apart->used, 1, sizeof *apart->values) < 0) {
        return -1;
    }
    memmove(&apart->values[low + 1], &apart->values[low], (apart->used - low) * sizeof *apart->values);
    apart->values[low] = (wide_counted){value, count};
    apart->used++;
    return into->used + apart->used > MAX_EXACT_VALUES ? make_coarse(into, apart) : 0;
}

static int by_key(const void *left, const void *right) {
    wide a = ((const wide_counted *)left)->key, b = ((const wide_counted *)right)->key;
    return (a > b) - (a < b);
}

/* Counts in the order of their keys, to be freed; NULL when memory is out. `of_values`: keys are values or buckets, and
 * come back as values, those of `apart`, which may be NULL, among them. */
static wide_counted *sorted_counts(const counter *of, const wide_part *apart, int of_values) {
    size_t more = of_values ? wide_values(apart) : 0, found = 0;
    wide_counted *sorted = malloc((of->used + more + 1) * sizeof *sorted);
    if (sorted == NULL) {
        return NULL;
    }
    for (size_t slot = 0; of->slots != NULL && slot < (size_t)1 << of->bits; slot++) {
        const counted *at = &of->slots[slot];
        if (at->count != 0) {
            wide key = !of_values ? at->key : of->over ? middle_of(at->key) : (wide)at->key * UNIT;
            sorted[found++] = (wide_counted){key, at->count};
        }
    }
    for (size_t i = 0; i < more; i++) {
        sorted[found++] = apart->values[i];
    }
    qsort(sorted, found, sizeof *sorted, by_key);
    return sorted;
}

/* ---- hours and days ---- */

static inline int64_t unit_of(int64_t time_us, int64_t unit_us) {
    return time_us / unit_us - (time_us % unit_us < 0);
}

static void give_up_units(counter *units) {
    free(units->slots);
    *units = (counter){NULL, 0, 0, 1};
}

static inline int add_to_units(counter *into, int64_t unit, uint64_t count) {
    if (into->over) {
        return 0;
    }
    if (add_key(into, unit, count) < 0) {
        return -1;
    }
    if (__builtin_expect(into->used > MAX_UNITS, 0)) {
        give_up_units(into);
    }
    return 0;
}

/* ---- the course over time (course.py) ---- */

/* Twice the number of buckets: a key is its piece, its value's bucket and whether it is an anomaly. */
#define COURSE_KEYS (1 << 17)
#define COURSE_ZERO (1 << 15)

/* A step of course.LEVELS: hours of a piece, and how many of a bucket's eight bits are dropped. */
typedef struct {
    int64_t hours;
    unsigned dropped;
} course_level;

static inline course_level level_of(unsigned level) {
    static const course_level first[8] = {{1, 0}, {1, 1}, {2, 1}, {4, 1}, {8, 1}, {8, 2}, {24, 2}, {24, 3}};
    return level < 8 ? first[level] : (course_level){48LL << (level - 8), 3};
}

static inline int64_t rounded_down(int64_t number, int64_t divisor) {
    return number / divisor - (number % divisor < 0);
}

static inline int64_t fewer_bits(int64_t bucket, unsigned dropped) {
    return bucket < 0 ? -(-bucket >> dropped) : bucket >> dropped;
}

static inline int64_t course_key(int64_t piece, int64_t bucket, uint64_t anomalous) {
    return piece * COURSE_KEYS + (bucket + COURSE_ZERO) * 2 + (int64_t)anomalous;
}

/* The key of an entry of a level at a coarser one. */
static inline int64_t coarser_key(int64_t key, unsigned level, unsigned coarser) {
    course_level from = level_of(level), to = level_of(coarser);
    int64_t rest = key & (COURSE_KEYS - 1), piece = (key - rest) / COURSE_KEYS;
    return course_key(rounded_down(piece, to.hours / from.hours),
                      fewer_bits((rest >> 1) - COURSE_ZERO, to.dropped - from.dropped), (uint64_t)rest & 1);
}

static __attribute__((noinline)) int go_to_level(counter *course, unsigned level) {
    counter coarser = {NULL, 0, 0, (uint8_t)level};
    for (size_t slot = 0; course->slots != NULL && slot < (size_t)1 << course->bits; slot++) {
        const counted *at = &course->slots[slot];
        if (at->count != 0 && add_key(&coarser, coarser_key(at->key, course->over, level), at->count) < 0) {
            free(coarser.slots);
            return -1;
        }
    }
    free(course->slots);
    *course = coarser;
    return 0;
}

/* Add an entry whose key is of the course's own level. */
static inline int add_entry(counter *into, int64_t key, uint64_t count) {
    if (add_key(into, key, count) < 0) {
        return -1;
    }
    while (__builtin_expect(into->used > MAX_ENTRIES && into->over < COURSE_LEVELS - 1, 0)) {
        if (go_to_level(into, into->over + 1U) < 0) {
            return -1;
        }
    }
    return 0;
}

static inline int add_to_course(counter *into, int64_t time_us, int64_t bucket, uint64_t anomalous) {
    course_level own = level_of(into->over);
    int64_t piece = unit_of(time_us, own.hours * FAMILY_HOUR_US);
    return add_entry(into, course_key(piece, fewer_bits(bucket, own.dropped), anomalous), 1);
}

/* ---- squares ---- */

static inline void add_limbs(uint64_t into[3], wide_size low, uint64_t high) {
    wide_size sum = (wide_size)into[1] << 64 | into[0];
    sum += low;
    into[0] = (uint64_t)sum;
    into[1] = (uint64_t)(sum >> 64);
    into[2] += high + (sum < low);
}

static inline void add_square(uint64_t into[3], int64_t value) {
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    add_limbs(into, (wide_size)size * size, 0);
}

/* ---- a group ---- */

static inline int add_to_calendar(family_group *into, unsigned families, int64_t time_us) {
    if ((families & FAMILY_HOURS) && add_to_units(&into->hours, unit_of(time_us, FAMILY_HOUR_US), 1) < 0) {
        return -1;
    }
    if ((families & FAMILY_DAYS) && add_to_units(&into->days, unit_of(time_us, FAMILY_DAY_US), 1) < 0) {
        return -1;
    }
    return 0;
}

/* Add a value and its time to what is kept of its group; `apart` is what is kept of its wide values, or NULL. */
static inline int add_to_families(family_group *into, wide_part *apart, unsigned families, int64_t time_us,
                                  int64_t value, uint64_t anomalous) {
    if (families & FAMILY_SQUARES) {
        add_square(into->squares, value);
    }
    if ((families & FAMILY_VALUES) && add_to_values(&into->values, apart, value, 1) < 0) {
        return -1;
    }
    if ((families & FAMILY_COURSE) && add_to_course(&into->course, time_us, bucket_of_narrow(value), anomalous) < 0) {
        return -1;
    }
    return add_to_calendar(into, families, time_us);
}

/* The same of a wide value. */
static int add_wide_to_families(family_group *into, wide_part *apart, unsigned families, int64_t time_us, wide value,
                                uint64_t anomalous) {
    if (families & FAMILY_SQUARES) {
        big square = square_of(value);
        add_big(&apart->squares, &square);
    }
    if ((families & FAMILY_VALUES) && add_wide_to_values(&into->values, apart, value, 1) < 0) {
        return -1;
    }
    if ((families & FAMILY_COURSE) && add_to_course(&into->course, time_us, bucket_of(value), anomalous) < 0) {
        return -1;
    }
    return add_to_calendar(into, families, time_us);
}

/* Make room before a merge: keys come in the order of their hash, and would fill a smaller table from its beginning,
 * where each then has to pass all that came before. */
static int make_counter_room(counter *into, const counter *from) {
    while (from->slots != NULL && (into->slots == NULL || into->bits < from->bits)) {
        if (grow_counter(into) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Ask memory for the counts of a value to come. */
static inline void fetch_counts(const family_group *of, int64_t time_us, int64_t value) {
    if (of->values.slots != NULL) {
        __builtin_prefetch(
            &of->values.slots[counter_slot(of->values.over ? bucket_of_narrow(value) : value, of->values.bits)], 1);
    }
    if (of->hours.slots != NULL) {
        __builtin_prefetch(&of->hours.slots[counter_slot(unit_of(time_us, FAMILY_HOUR_US), of->hours.bits)], 1);
    }
    if (of->days.slots != NULL) {
        __builtin_prefetch(&of->days.slots[counter_slot(unit_of(time_us, FAMILY_DAY_US), of->days.bits)], 1);
    }
}

static int merge_values(counter *into, wide_part *apart, const counter *from, const wide_part *from_apart) {
    if ((from->over && make_coarse(into, apart) < 0) || make_counter_room(into, from) < 0) {
        return -1;
    }
    for (size_t slot = 0; from->slots != NULL && slot < (size_t)1 << from->bits; slot++) {
        const counted *at = &from->slots[slot];
        if (at->count != 0 && (from->over ? add_key(into, at->key, at->count)
                                          : add_to_values(into, apart, at->key, at->count)) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < wide_values(from_apart); i++) {
        if (add_wide_to_values(into, apart, from_apart->values[i].key, from_apart->values[i].count) < 0) {
            return -1;
        }
    }
    return 0;
}

static int merge_units(counter *into, const counter *from) {
    if (into->over || from->over) {
        give_up_units(into);
        return 0;
    }
    if (make_counter_room(into, from) < 0) {
        return -1;
    }
    for (size_t slot = 0; from->slots != NULL && slot < (size_t)1 << from->bits; slot++) {
        const counted *at = &from->slots[slot];
        if (at->count != 0 && add_to_units(into, at->key, at->count) < 0) {
            return -1;
        }
    }
    return 0;
}

static int merge_courses(counter *into, const counter *from) {
    if (into->over < from->over && go_to_level(into, from->over) < 0) {
        return -1;
    }
    for (size_t slot = 0; from->slots != NULL && slot < (size_t)1 << from->bits; slot++) {
        const counted *at = &from->slots[slot];
        if (at->count != 0 && add_entry(into, coarser_key(at->key, from->over, into->over), at->count) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Add all of `from`, which stays as it is; a counter that is not asked for is empty in both. What is kept of wide values
 * may be NULL: in `into` only if it is so in `from`. */
static int merge_families(family_group *into, wide_part *apart, const family_group *from, const wide_part *from_apart) {
    add_limbs(into->squares, (wide_size)from->squares[1] << 64 | from->squares[0], from->squares[2]);
    if (from_apart != NULL) {
        add_big(&apart->squares, &from_apart->squares);
    }
    return merge_values(&into->values, apart, &from->values, from_apart) < 0 ||
                   merge_units(&into->hours, &from->hours) < 0 || merge_units(&into->days, &from->days) < 0 ||
                   merge_courses(&into->course, &from->course) < 0
               ? -1
               : 0;
}

static void free_counters(family_group *of) {
    free(of->values.slots);
    free(of->hours.slots);
    free(of->days.slots);
    free(of->course.slots);
}

static void free_families(family_group *of, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free_counters(&of[i]);
    }
    free(of);
}

#endif
