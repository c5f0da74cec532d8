/* Lines of a file look alike: the shape of one that was proven to be plain proves others.

   A shape is such a line as text, with its leaves: the strings and numbers that are values. A line that is the same but
   for leaves, each a plain one of the same kind, has the same keys and nesting, so it is plain too, and its members
   stand where the shape's do. Leaves that have been seen to vary are read; all between them is compared as bytes. */

#ifndef MOCKEXPORT_JSON_SHAPE_H
#define MOCKEXPORT_JSON_SHAPE_H

#include "json_line.h"

/* A longer line has no shape. Kinds of lines that take turns have one each. Where there are so many kinds that more than
   a fifth of the lines have none that is known, looking for one costs more than it saves: then some lines go without. */
enum { JSON_SHAPE_BYTES = 8192, JSON_SHAPES = 16, JSON_SHAPE_TRIAL = 256, JSON_SHAPE_REST = 2048 };

typedef struct {
    int start, end; /* in the shape's text; of a member, both are 0 if it is not there */
    int before_start, before_end; /* so many of the leaves that vary end there or before */
} json_range;

typedef struct {
    char text[JSON_SHAPE_BYTES];
    int length, leaf_count, varying_count;
    json_range leaves[JSON_LEAVES], members[JSON_MEMBERS];
    bool varies[JSON_LEAVES];
    int varying[JSON_LEAVES]; /* which leaves, in order */
} json_shape;

typedef struct {
    json_shape of[JSON_SHAPES];
    int order[JSON_SHAPES], count; /* the one that fitted last comes first */
    int fitted, unfitted, resting; /* lines, of late; and how many go without */
} json_shapes;

static void json_count_varying(json_shape *shape) {
    shape->varying_count = 0;
    for (int i = 0; i < shape->leaf_count; i++) {
        if (shape->varies[i]) {
            shape->varying[shape->varying_count++] = i;
        }
    }
    for (int m = 0; m < JSON_MEMBERS; m++) {
        json_range *member = &shape->members[m];
        member->before_start = member->before_end = 0;
        for (int h = 0; h < shape->varying_count; h++) {
            const int end = shape->leaves[shape->varying[h]].end;
            member->before_start += end <= member->start;
            member->before_end += end <= member->end;
        }
    }
}

/* Notes that the leaf varies in which, or right behind which, a difference stands; false if there is none. */
static bool json_vary(json_shape *shape, int difference) {
    for (int i = 0; i < shape->leaf_count; i++) {
        if (difference <= shape->leaves[i].end) {
            if (difference < shape->leaves[i].start || shape->varies[i]) {
                return false;
            }
            shape->varies[i] = true;
            json_count_varying(shape);
            return true;
        }
    }
    return false;
}

/* Whether a line has the shape; then where its members are. */
static bool json_fits(json_shape *shape, const char *p, int length, json_span *members) {
    int shifts[JSON_LEAVES + 1], at = 0, from = 0, h = 0; /* `at` in the shape's text, `from` in the line */
    shifts[0] = 0;
    while (true) {
        const json_range *leaf = h < shape->varying_count ? &shape->leaves[shape->varying[h]] : NULL;
        const int wanted = (leaf == NULL ? shape->length : leaf->start) - at;
        if (wanted > length - from || memcmp(shape->text + at, p + from, (size_t)wanted) != 0) {
            int same = 0;
            while (same < wanted && from + same < length && shape->text[at + same] == p[from + same]) {
                same++;
            }
            if (!json_vary(shape, at + same)) {
                return false;
            }
            continue;
        }
        at += wanted;
        from += wanted;
        if (leaf == NULL) {
            break;
        }
        const bool is_string = shape->text[at] == '"';
        if (from == length || (p[from] == '"') != is_string) {
            return false;
        }
        const char *stop = is_string ? json_string(p + from + 1, p + length) : json_number(p + from, p + length);
        if (stop == NULL) {
            return false;
        }
        from = (int)(stop - p);
        at = leaf->end;
        shifts[++h] = from - at;
    }
    if (from != length) {
        return false;
    }
    for (int m = 0; m < JSON_MEMBERS; m++) {
        const json_range *member = &shape->members[m];
        const int start = member->start + shifts[member->before_start], end = member->end + shifts[member->before_end];
        members[m].at = member->end ? p + start : NULL;
        members[m].length = (size_t)(end - start);
    }
    return true;
}

static inline json_range json_range_of(const json_span *found, const char *p) {
    const int start = found->at == NULL ? 0 : (int)(found->at - p);
    return (json_range){start, start + (int)found->length, 0, 0};
}

static void json_keep_shape(json_shapes *shapes, const char *p, int length, const json_span *members,
                            const json_leaves *leaves) {
    /* In place of the one that has not fitted for the longest time. */
    const int slot = shapes->count < JSON_SHAPES ? shapes->count++ : shapes->order[JSON_SHAPES - 1];
    memmove(shapes->order + 1, shapes->order, (size_t)(shapes->count - 1) * sizeof *shapes->order);
    shapes->order[0] = slot;
    json_shape *shape = &shapes->of[slot];
    memcpy(shape->text, p, (size_t)length);
    shape->length = length;
    shape->leaf_count = leaves->count;
    for (int i = 0; i < leaves->count; i++) {
        shape->leaves[i] = json_range_of(&leaves->at[i], p);
        shape->varies[i] = false;
    }
    for (int m = 0; m < JSON_MEMBERS; m++) {
        shape->members[m] = json_range_of(&members[m], p);
    }
    json_count_varying(shape);
}

/* Counts a line, and lets the next ones go without a shape if too many had none. */
static inline void json_count_fit(json_shapes *shapes, bool fitted) {
    shapes->fitted += fitted;
    shapes->unfitted += !fitted;
    if (shapes->fitted + shapes->unfitted == JSON_SHAPE_TRIAL) {
        shapes->resting = shapes->unfitted > JSON_SHAPE_TRIAL / 5 ? JSON_SHAPE_REST : 0;
        shapes->fitted = shapes->unfitted = 0;
    }
}

/* As json_line says; by a shape, if the line has one. */
static bool json_line_like(json_shapes *shapes, const char *p, size_t length, json_span *members) {
    json_leaves leaves;
    if (length > JSON_SHAPE_BYTES || shapes->resting > 0) {
        shapes->resting -= shapes->resting > 0;
        return json_line(p, length, members, &leaves);
    }
    for (int i = 0; i < shapes->count; i++) {
        const int slot = shapes->order[i];
        if (json_fits(&shapes->of[slot], p, (int)length, members)) {
            memmove(shapes->order + 1, shapes->order, (size_t)i * sizeof *shapes->order);
            shapes->order[0] = slot;
            json_count_fit(shapes, true);
            return true;
        }
    }
    if (!json_line(p, length, members, &leaves)) {
        return false;
    }
    json_count_fit(shapes, false);
    if (leaves.count <= JSON_LEAVES) {
        json_keep_shape(shapes, p, (int)length, members, &leaves);
    }
    return true;
}

#endif
