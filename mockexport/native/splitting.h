/* The fields of a row of a described table: blanks around them and quotes taken off, escapes undone.
 *
 * Rules: as mockexport/formats/quoting.py has it, or the row is not plain. What a field says is no business of this.
 */
#ifndef MOCKEXPORT_SPLITTING_H
#define MOCKEXPORT_SPLITTING_H

#include "plan.h"

/* Without the blanks at either end. */
static inline text stripped(const uint8_t *at, const uint8_t *end, uint8_t delimiter) {
    while (at < end && is_blank(*at, delimiter)) {
        at++;
    }
    while (at < end && is_blank(end[-1], delimiter)) {
        end--;
    }
    return (text){at, (uint32_t)(end - at)};
}

/* The same, where blanks are few. */
static inline text bare(const plan *of, const uint8_t *at, const uint8_t *end, uint8_t delimiter) {
    if (__builtin_expect(at < end && (of->is_blank[*at] | of->is_blank[end[-1]]), 0)) {
        return stripped(at, end, delimiter);
    }
    return (text){at, (uint32_t)(end - at)};
}

/* Where a byte is first, or `end`. Fields are short: a call would cost more. */
static inline const uint8_t *find_byte(const uint8_t *at, const uint8_t *end, uint8_t byte) {
    const uint64_t each = 0x0101010101010101ULL * byte;
    while (at < end) {
        const ptrdiff_t left = end - at;
        const uint64_t found = keep_bytes(zero_bytes(load64(at) ^ each), left < 8 ? left : 8);
        if (found != 0) {
            return at + __builtin_ctzll(found) / 8;
        }
        at += left < 8 ? left : 8;
    }
    return end;
}

/* Copy what is between quotes, or a field with escapes: a doubled quote is one, and an escape is none, but makes the byte
 * behind it one like all others. 1, or 0 if it is not plain. */
static __attribute__((noinline)) int unquote(const row_signs *signs, plan *of, int quoted, text *field) {
    const uint8_t *at = field->at, *end = at + field->length, *from = at;
    const size_t begin = of->scratch_used;
    for (; at < end; at++) {
        if (*at == signs->quote || *at == signs->escape) {
            if ((*at == signs->quote && !quoted) || at + 1 == end || (*at == signs->quote && at[1] != signs->quote) ||
                !put_scratch(of, from, (size_t)(at - from))) {
                return 0;
            }
            from = ++at;
        }
    }
    if (!put_scratch(of, from, (size_t)(end - from))) {
        return 0;
    }
    *field = (text){of->scratch + begin, (uint32_t)(of->scratch_used - begin)};
    return 1;
}

/* Read what a field holds in whose row there are quotes or escapes: 1, or 0 if it is not plain. */
static inline int read_quoted(const row_scan *scan, plan *of, const uint8_t *at, const uint8_t *end, text *into) {
    const row_signs *signs = &scan->signs;
    *into = bare(of, at, end, signs->delimiter);
    end = into->at + into->length;
    const int quoted = into->length != 0 && into->at[0] == signs->quote;
    if (quoted) {
        if (into->length < 2 || end[-1] != signs->quote) {
            return 0;
        }
        end--;
        *into = (text){into->at + 1, into->length - 2};
    }
    if ((signs->quote == NO_SIGN || find_byte(into->at, end, (uint8_t)signs->quote) == end) &&
        (signs->escape == NO_SIGN || find_byte(into->at, end, (uint8_t)signs->escape) == end)) {
        return 1;
    }
    return unquote(signs, of, quoted, into);
}

/* Find the fields of a row that are looked at: `at` are the ends of `count` fields, the last of which ends at `end`; before
 * them is that of the line end before the row. 1, or 0 if the row is not plain; `has_quotes` if there may be some. */
static inline int split_row(const row_scan *scan, plan *of, const uint8_t *data, const uint32_t *at, size_t count,
                            uint32_t end, int has_quotes) {
    const uint8_t delimiter = scan->signs.delimiter;
    if (__builtin_expect(count < of->width || (of->is_sampled && count > of->width), 0)) {
        return 0;
    }
    const uint32_t returned = at[count - 1] - end; /* 1 for "\r\n" */
#define BEGIN(place) (at[(int64_t)(place) - 1] + 1)
#define FINISH(place) (at[place] - (returned & ((place) + 1 == count)))
    if (!has_quotes) {
        for (uint32_t i = 0; i < of->field_count; i++) {
            const uint32_t place = of->places[i], begin = BEGIN(place), finish = FINISH(place);
            of->fields[i] = bare(of, data + begin, data + finish, delimiter);
            of->odd += of->fields[i].length != finish - begin;
        }
        for (size_t place = of->width; place < count; place++) {
            of->odd++;
            if (stripped(data + BEGIN(place), data + FINISH(place), delimiter).length != 0) {
                return 0;
            }
        }
        return 1;
    }
    of->odd++;
    for (size_t place = 0, next = 0; place < count; place++) {
        text field;
        if (!read_quoted(scan, of, data + BEGIN(place), data + FINISH(place), &field)) {
            return 0;
        }
        if (place >= of->width && field.length != 0) {
            return 0;
        }
        if (next < of->field_count && of->places[next] == place) {
            of->fields[next++] = field;
        }
    }
#undef BEGIN
#undef FINISH
    return 1;
}

/* Whether a row without quotes, which is not wanted, may name the columns again. */
static inline int may_name_columns(const row_scan *scan, const uint8_t *data, uint32_t start, const uint32_t *at,
                                   size_t count, uint32_t end) {
    if (scan->name_count == 0) {
        return scan->any_name;
    }
    const token *name = &scan->names[0];
    for (size_t place = 0; place < count; place++) {
        const uint32_t stop = place + 1 == count ? end : at[place], length = stop - start;
        if (length >= name->length && (length == name->length ? memcmp(data + start, name->bytes, length) == 0
                                                              : has_blank_ends(data + start, length))) {
            return 1;
        }
        start = stop + 1;
    }
    return 0;
}

#endif
