/* One line of NDJSON: proves that it is one plain JSON object, and finds the members of an Observation that matter.

   Plain is: no key twice in any object, no escape but the short ones, keys without any, few levels, few keys, exact
   grammar. What is not plain is set aside, whatever it is: the reference judges it. Bytes from 0x80 on are let through;
   whoever calls has seen to it that they are UTF-8. Most lines of a file need no such proof (see json_shape.h). */

#ifndef MOCKEXPORT_JSON_LINE_H
#define MOCKEXPORT_JSON_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { JSON_LEVELS = 24, JSON_KEYS = 48, JSON_MEMBERS = 10, JSON_LEAVES = 192 };

typedef struct {
    const char *at; /* NULL: not there */
    size_t length;
} json_span;

/* The strings and numbers that are values, in order; more than there is room for: `count` is beyond JSON_LEAVES. */
typedef struct {
    json_span at[JSON_LEAVES];
    int count;
} json_leaves;

/* In this order; those of the first row are there once, or the line is set aside where one decides what it means. */
static const char *const json_members[JSON_MEMBERS] = {
    "resourceType", "id", "meta", "status", "category", "code", "subject", "effectiveDateTime", "valueQuantity",
    "component",
};

static const unsigned char json_member_lengths[JSON_MEMBERS] = {12, 2, 4, 6, 8, 4, 7, 17, 13, 9};

static inline const char *json_space(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r')) {
        p++;
    }
    return p;
}

/* Returns what follows the string's closing quote; p is behind the opening one. NULL if it is not plain. */
static inline const char *json_string(const char *p, const char *end) {
    while (p < end) {
        while (end - p >= 8) {
            uint64_t word;
            memcpy(&word, p, 8);
            /* A quote, a backslash, or a control character (Hacker's Delight, 6-1): the lowest byte found is one. */
            const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
            const uint64_t quote = word ^ (ones * '"'), back = word ^ (ones * '\\');
            const uint64_t found =
                (((quote - ones) & ~quote) | ((back - ones) & ~back) | ((word - ones * 0x20) & ~word)) & highs;
            if (found) {
                p += __builtin_ctzll(found) >> 3;
                break;
            }
            p += 8;
        }
        if (p == end) {
            return NULL;
        }
        const unsigned char c = (unsigned char)*p++;
        if (c == '"') {
            return p;
        }
        if (c < 0x20) {
            return NULL;
        }
        if (c == '\\') {
            if (p == end || strchr("\"\\/bfnrt", *p) == NULL || *p == '\0') {
                return NULL;
            }
            p++;
        }
    }
    return NULL;
}

static inline bool json_is_digit(const char *p, const char *end) { return p < end && *p >= '0' && *p <= '9'; }

static inline const char *json_number(const char *p, const char *end) {
    if (p < end && *p == '-') {
        p++;
    }
    if (!json_is_digit(p, end)) {
        return NULL;
    }
    if (*p == '0') {
        p++;
    } else {
        while (json_is_digit(p, end)) {
            p++;
        }
    }
    if (p < end && *p == '.') {
        p++;
        if (!json_is_digit(p, end)) {
            return NULL;
        }
        while (json_is_digit(p, end)) {
            p++;
        }
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) {
            p++;
        }
        if (!json_is_digit(p, end)) {
            return NULL;
        }
        while (json_is_digit(p, end)) {
            p++;
        }
    }
    return p;
}

static const char *json_object(const char *p, const char *end, int level, json_span *members, json_leaves *leaves);

static inline const char *json_leaf(const char *p, const char *stop, json_leaves *leaves) {
    if (stop != NULL && leaves->count < JSON_LEAVES) {
        leaves->at[leaves->count].at = p;
        leaves->at[leaves->count].length = (size_t)(stop - p);
    }
    leaves->count++;
    return stop;
}

static const char *json_value(const char *p, const char *end, int level, json_leaves *leaves) {
    if (p == end || level > JSON_LEVELS) {
        return NULL;
    }
    switch (*p) {
    case '"':
        return json_leaf(p, json_string(p + 1, end), leaves);
    case '{':
        return json_object(p + 1, end, level + 1, NULL, leaves);
    case '[':
        p = json_space(p + 1, end);
        if (p < end && *p == ']') {
            return p + 1;
        }
        while (true) {
            p = json_value(json_space(p, end), end, level + 1, leaves);
            if (p == NULL) {
                return NULL;
            }
            p = json_space(p, end);
            if (p == end || (*p != ',' && *p != ']')) {
                return NULL;
            }
            if (*p++ == ']') {
                return p;
            }
        }
    case 't':
        return end - p >= 4 && memcmp(p, "true", 4) == 0 ? p + 4 : NULL;
    case 'f':
        return end - p >= 5 && memcmp(p, "false", 5) == 0 ? p + 5 : NULL;
    case 'n':
        return end - p >= 4 && memcmp(p, "null", 4) == 0 ? p + 4 : NULL;
    default:
        return json_leaf(p, json_number(p, end), leaves);
    }
}

/* Whether a member changes what an Observation means in a way that only the reference looks into. */
static inline bool json_is_for_reference(const char *key, size_t length) {
    return (length >= 5 && memcmp(key, "value", 5) == 0) || (length >= 9 && memcmp(key, "effective", 9) == 0) ||
           (length == 16 && memcmp(key, "dataAbsentReason", 16) == 0) ||
           (length == 17 && memcmp(key, "modifierExtension", 17) == 0) ||
           (length == 13 && memcmp(key, "implicitRules", 13) == 0);
}

static const char *json_object(const char *p, const char *end, int level, json_span *members, json_leaves *leaves) {
    json_span keys[JSON_KEYS];
    int count = 0;
    if (level > JSON_LEVELS) {
        return NULL;
    }
    p = json_space(p, end);
    if (p < end && *p == '}') {
        return p + 1;
    }
    while (true) {
        p = json_space(p, end);
        if (p == end || *p != '"' || count == JSON_KEYS) {
            return NULL;
        }
        const char *key = p + 1;
        p = json_string(key, end);
        if (p == NULL) {
            return NULL;
        }
        const size_t length = (size_t)(p - 1 - key);
        for (size_t i = 0; i < length; i++) {
            if (key[i] == '\\') {
                return NULL;
            }
        }
        for (int i = 0; i < count; i++) {
            if (keys[i].length == length && *keys[i].at == *key && memcmp(keys[i].at, key, length) == 0) {
                return NULL;
            }
        }
        keys[count].at = key;
        keys[count++].length = length;
        p = json_space(p, end);
        if (p == end || *p++ != ':') {
            return NULL;
        }
        p = json_space(p, end);
        const char *value = p;
        p = json_value(p, end, level, leaves);
        if (p == NULL) {
            return NULL;
        }
        if (members != NULL) {
            int found = 0;
            while (found < JSON_MEMBERS && (json_member_lengths[found] != length || json_members[found][0] != *key ||
                                            memcmp(json_members[found], key, length) != 0)) {
                found++;
            }
            if (found < JSON_MEMBERS) {
                members[found].at = value;
                members[found].length = (size_t)(p - value);
            } else if (json_is_for_reference(key, length)) {
                return NULL;
            }
        }
        p = json_space(p, end);
        if (p == end || (*p != ',' && *p != '}')) {
            return NULL;
        }
        if (*p++ == '}') {
            return p;
        }
    }
}

static inline int json_two_digits(const char *p) { return (p[0] - '0') * 10 + (p[1] - '0'); }

/* Whether a JSON string is a FHIR time with an offset, and of a plain date; then its microseconds of UTC since 1970. */
static bool json_time(const json_span *text, int64_t *time_us) {
    static const char form[] = "\"0000-00-00T00:00:00";
    static const int days_before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    const char *p = text->at, *end = text->at + text->length;
    if (p == NULL || text->length < 22) {
        return false;
    }
    for (int i = 0; i < 20; i++) {
        if (form[i] == '0' ? !json_is_digit(p + i, end) : p[i] != form[i]) {
            return false;
        }
    }
    const int year = json_two_digits(p + 1) * 100 + json_two_digits(p + 3), month = json_two_digits(p + 6);
    const int day = json_two_digits(p + 9), hour = json_two_digits(p + 12), minute = json_two_digits(p + 15);
    const int second = json_two_digits(p + 18);
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (year < 1900 || year > 2199 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 ||
        day > days_before[month] - days_before[month - 1] + (month == 2 && leap)) {
        return false;
    }
    p += 20;
    int64_t fraction = 0;
    if (*p == '.') {
        int digits = 0;
        for (p++; json_is_digit(p, end); p++, digits++) {
            if (digits < 6) {
                fraction = fraction * 10 + (*p - '0');
            }
        }
        if (digits < 1 || digits > 9) {
            return false;
        }
        for (; digits < 6; digits++) {
            fraction *= 10;
        }
    }
    int ahead = 0; /* minutes */
    if (end - p == 2 && *p == 'Z') {
        p++;
    } else if (end - p == 7 && (*p == '+' || *p == '-') && json_is_digit(p + 1, end) && json_is_digit(p + 2, end) &&
               p[3] == ':' && json_is_digit(p + 4, end) && json_is_digit(p + 5, end)) {
        const int hours = json_two_digits(p + 1), minutes = json_two_digits(p + 4);
        if (hours > 23 || minutes > 59) {
            return false;
        }
        ahead = (hours * 60 + minutes) * (*p == '-' ? -1 : 1);
        p += 6;
    } else {
        return false;
    }
    const int y = year - 1;
    const int64_t days = (int64_t)y * 365 + y / 4 - y / 100 + y / 400 + days_before[month - 1] + (month > 2 && leap) +
                         day - 719163;
    *time_us = (((days * 24 + hour) * 60 + minute - ahead) * 60 + second) * INT64_C(1000000) + fraction;
    return *p == '"';
}

/* Whether the bytes are one plain object; then where its members and its leaves are. */
static bool json_line(const char *p, size_t length, json_span *members, json_leaves *leaves) {
    const char *end = p + length;
    memset(members, 0, JSON_MEMBERS * sizeof *members);
    leaves->count = 0;
    return length > 1 && *p == '{' && json_object(p + 1, end, 1, members, leaves) == end;
}

#endif
