/* Lines of one span, each a plain Observation → rows as columns, by what the reference has said of the same bytes.

   Rules: what an Observation means is not decided here. The members that say what was measured are a text, whose meaning
   the reference states once; so is the subject. A line with texts of which it has said nothing yet is asked about; of any
   other line that is not plain the reference decides as a whole. Every function that allocates returns a negative number
   when memory is out. */

#ifndef MOCKEXPORT_OBSERVATIONS_H
#define MOCKEXPORT_OBSERVATIONS_H

#include "blake2b.h"
#include "ids.h"
#include "json_shape.h"

/* Instead of a place among a resource's rows: it has none (reducers.latest.ROWLESS). */
#define ROWLESS 0xFFFF
/* What is measured is said in less than this (plain.MAX_REMEMBERED_BYTES), or the reference decides. */
#define MEANING_BYTES 4096
/* Before all times that there are (formats.batch.UPDATED_UNKNOWN). */
#define UPDATED_UNKNOWN (-(INT64_C(1) << 62))

enum { LINE_TAKEN, LINE_ASIDE, ASK_MEANING, ASK_SUBJECT };

typedef struct {
    uint64_t low, high; /* in 128 bits, two's complement */
    uint32_t type;
} measured;

/* What some members come to: rows; or the reference decides. `matters`: whose and when it is matters. */
typedef struct {
    size_t first; /* of its rows in `measured` */
    uint32_t rows;
    bool by_reference, matters, has_missing;
    uint64_t taken; /* lines of this chunk */
} meaning;

typedef struct {
    bool by_reference, seen; /* seen: it has had a row */
} subject;

typedef struct {
    uint8_t key[BLAKE2B_DIGEST];
    uint64_t version;
    int64_t updated, time_us, line;
    uint64_t low, high;
    uint32_t subject, type;
    uint16_t place;
} resource_row;

/* A line with missing values: what, whose, when. */
typedef struct {
    uint32_t meaning, subject;
    int64_t time_us, line;
} absence;

typedef struct {
    json_shapes *shapes; /* somebody else's */
    id_table texts[2];   /* of meanings, and of subjects */
    meaning *meanings;
    subject *subjects;
    measured *measured;
    size_t meaning_room, subject_room, measured_count, measured_room;
    /* of the chunk */
    resource_row *rows;
    absence *absences;
    uint32_t *touched, *new_subjects; /* meanings with lines taken; subjects that have their first row */
    size_t row_count, row_room, absence_count, absence_room, touched_count, touched_room, new_count, new_room, taken;
    /* what is asked about */
    char text[MEANING_BYTES + PADDING];
    size_t text_length;
} observations;

/* Puts the members that say what was measured into `text`, a line each: no line end is in any of them. */
static bool join_meaning(observations *all, const json_span *found) {
    static const int members[] = {3, 4, 5, 8, 9};
    size_t at = 0;
    for (int i = 0; i < 5; i++) {
        const json_span *member = &found[members[i]];
        const size_t length = member->at == NULL ? 0 : member->length;
        if (length >= MEANING_BYTES - at) {
            return false;
        }
        memcpy(all->text + at, member->at == NULL ? "" : member->at, length);
        at += length;
        all->text[at++] = '\n';
    }
    all->text_length = at;
    return true;
}

static bool take_subject(observations *all, const json_span *found) {
    if (found->at == NULL || found->length > MEANING_BYTES) {
        return false;
    }
    memcpy(all->text, found->at, found->length);
    all->text_length = found->length;
    return true;
}

static uint32_t find_text(const observations *all, const id_table *table) {
    uint64_t low, high;
    const uint8_t *text = (const uint8_t *)all->text;
    id_words(text, (uint32_t)all->text_length, &low, &high);
    return find_id(table, low, high, (uint32_t)all->text_length, text);
}

static int64_t add_asked(observations *all, id_table *table) {
    uint64_t low, high;
    const uint8_t *text = (const uint8_t *)all->text;
    id_words(text, (uint32_t)all->text_length, &low, &high);
    return add_text(table, low, high, (uint32_t)all->text_length, text, 0);
}

/* A string of plain digits, 18 at the most, is a version, one more than it says; any other string none, 0. */
static bool read_version(const json_span *text, uint64_t *version) {
    if (*text->at != '"' || memchr(text->at, '\\', text->length) != NULL) {
        return false;
    }
    const size_t digits = text->length - 2;
    uint64_t number = 0;
    *version = 0;
    if (digits < 1 || digits > 18) {
        return true;
    }
    for (size_t i = 1; i <= digits; i++) {
        if (text->at[i] < '0' || text->at[i] > '9') {
            return true;
        }
        number = number * 10 + (uint64_t)(text->at[i] - '0');
    }
    *version = number + 1;
    return true;
}

/* Which version of a resource it is, by its meta; false if the reference is to decide. */
static bool read_meta(const json_span *meta, uint64_t *version, int64_t *updated) {
    *version = 0;
    *updated = UPDATED_UNKNOWN;
    if (meta->at == NULL) {
        return true;
    }
    if (*meta->at != '{') {
        return false;
    }
    json_leaves leaves = {.count = 0};
    const char *end = meta->at + meta->length, *p = json_space(meta->at + 1, end);
    while (*p == '"') {
        const char *key = p + 1, *value = json_string(key, end);
        const size_t length = (size_t)(value - 1 - key);
        value = json_space(json_space(value, end) + 1, end);
        p = json_value(value, end, 0, &leaves);
        const json_span text = {value, (size_t)(p - value)};
        if (length == 9 && memcmp(key, "versionId", 9) == 0 && !read_version(&text, version)) {
            return false;
        }
        if (length == 11 && memcmp(key, "lastUpdated", 11) == 0 && !json_time(&text, updated)) {
            return false;
        }
        p = json_space(p, end);
        if (*p == ',') {
            p = json_space(p + 1, end);
        }
    }
    return true;
}

static int add_resource(observations *all, resource_row row, meaning *what, uint32_t whose) {
    const uint32_t number = (uint32_t)(what - all->meanings), count = what->rows ? what->rows : 1;
    if (reserve((void **)&all->rows, &all->row_room, all->row_count, count, sizeof *all->rows) < 0 ||
        reserve((void **)&all->absences, &all->absence_room, all->absence_count, 1, sizeof *all->absences) < 0 ||
        reserve((void **)&all->touched, &all->touched_room, all->touched_count, 1, sizeof *all->touched) < 0 ||
        reserve((void **)&all->new_subjects, &all->new_room, all->new_count, 1, sizeof *all->new_subjects) < 0) {
        return -1;
    }
    if (what->rows == 0) {
        all->rows[all->row_count] = row;
        all->rows[all->row_count].place = ROWLESS;
        all->rows[all->row_count++].time_us = 0;
    } else {
        row.subject = whose;
        for (uint32_t i = 0; i < what->rows; i++) {
            const measured *each = &all->measured[what->first + i];
            row.low = each->low;
            row.high = each->high;
            row.type = each->type;
            row.place = (uint16_t)i;
            all->rows[all->row_count++] = row;
        }
        if (!all->subjects[whose].seen) {
            all->subjects[whose].seen = true;
            all->new_subjects[all->new_count++] = whose;
        }
    }
    if (what->has_missing) {
        all->absences[all->absence_count++] = (absence){number, whose, row.time_us, row.line};
    }
    if (what->taken++ == 0) {
        all->touched[all->touched_count++] = number;
    }
    all->taken++;
    return LINE_TAKEN;
}

/* Takes a line, which is not blank and has no blanks at its ends; or returns what is to become of it. */
static int take_line(observations *all, const char *p, size_t length, int64_t line) {
    json_span found[JSON_MEMBERS];
    if (!json_line_like(all->shapes, p, length, found) || found[0].at == NULL || found[0].length != 13 ||
        memcmp(found[0].at, "\"Observation\"", 13) != 0) {
        return LINE_ASIDE;
    }
    const json_span *id = &found[1];
    resource_row row = {.line = line};
    if (id->at == NULL || *id->at != '"' || id->length < 3 || id->length > BLAKE2B_BLOCK + 2 ||
        memchr(id->at, '\\', id->length) != NULL || !read_meta(&found[2], &row.version, &row.updated) ||
        !join_meaning(all, found)) {
        return LINE_ASIDE;
    }
    const uint32_t number = find_text(all, &all->texts[0]);
    if (number == NONE) {
        return ASK_MEANING;
    }
    meaning *what = &all->meanings[number];
    uint32_t whose = 0;
    if (what->by_reference) {
        return LINE_ASIDE;
    }
    if (what->matters) {
        if (!json_time(&found[7], &row.time_us) || !take_subject(all, &found[6])) {
            return LINE_ASIDE;
        }
        whose = find_text(all, &all->texts[1]);
        if (whose == NONE) {
            return ASK_SUBJECT;
        }
        if (all->subjects[whose].by_reference) {
            return LINE_ASIDE;
        }
    }
    blake2b_16(id->at + 1, id->length - 2, row.key);
    return add_resource(all, row, what, whose);
}

/* What the reference says of the text that was asked about; rows are put into `measured` before. */
static int learn_meaning(observations *all, bool by_reference, bool matters, bool has_missing, uint32_t rows) {
    if (reserve((void **)&all->meanings, &all->meaning_room, all->texts[0].count, 1, sizeof *all->meanings) < 0) {
        return -1;
    }
    const int64_t number = add_asked(all, &all->texts[0]);
    if (number >= 0) {
        all->meanings[number] = (meaning){all->measured_count - rows, rows, by_reference, matters, has_missing, 0};
    }
    return number < 0 ? -1 : 0;
}

static int learn_row(observations *all, measured row) {
    if (reserve((void **)&all->measured, &all->measured_room, all->measured_count, 1, sizeof row) < 0) {
        return -1;
    }
    all->measured[all->measured_count++] = row;
    return 0;
}

static int learn_subject(observations *all, bool by_reference) {
    if (reserve((void **)&all->subjects, &all->subject_room, all->texts[1].count, 1, sizeof *all->subjects) < 0) {
        return -1;
    }
    const int64_t number = add_asked(all, &all->texts[1]);
    if (number >= 0) {
        all->subjects[number] = (subject){by_reference, false};
    }
    return number < 0 ? -1 : 0;
}

/* Forgets the rows of the chunk; what was learnt stays. */
static void forget_chunk(observations *all) {
    for (size_t i = 0; i < all->touched_count; i++) {
        all->meanings[all->touched[i]].taken = 0;
    }
    all->row_count = all->absence_count = all->touched_count = all->new_count = all->taken = 0;
}

static inline size_t learnt_bytes(const observations *all) {
    size_t bytes = all->measured_room * sizeof *all->measured + all->meaning_room * sizeof *all->meanings;
    for (int i = 0; i < 2; i++) {
        bytes += all->texts[i].size + all->texts[i].capacity * (sizeof *all->texts[i].records + 16);
    }
    return bytes;
}

static void free_observations(observations *all) {
    free_ids(&all->texts[0]);
    free_ids(&all->texts[1]);
    free(all->meanings);
    free(all->subjects);
    free(all->measured);
    free(all->rows);
    free(all->absences);
    free(all->touched);
    free(all->new_subjects);
}

#endif
