/* The Arrow C data and stream interfaces: their structures, and what gives them back.
 *
 * Rules: no Python. Whatever is handed out is plain memory of its own, so that its consumer may keep, move and release
 * any part of it, in any thread, at any time. The structures are those of the specification:
 * https://arrow.apache.org/docs/format/CDataInterface.html and CStreamInterface.html.
 */
#ifndef MOCKEXPORT_ARROW_H
#define MOCKEXPORT_ARROW_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

/* ---- giving back ---- */

/* A child that was moved away has no release left; its structure stays with the parent. */
#define GIVE_BACK(part)                                                                                                \
    do {                                                                                                               \
        if ((part) != NULL) {                                                                                          \
            if ((part)->release != NULL) {                                                                             \
                (part)->release(part);                                                                                 \
            }                                                                                                          \
            free(part);                                                                                                \
        }                                                                                                              \
    } while (0)

static void release_schema(struct ArrowSchema *schema) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        GIVE_BACK(schema->children[i]);
    }
    GIVE_BACK(schema->dictionary);
    free(schema->children);
    free((void *)schema->format);
    free((void *)schema->name);
    schema->release = NULL;
}

static void release_array(struct ArrowArray *array) {
    for (int64_t i = 0; i < array->n_children; i++) {
        GIVE_BACK(array->children[i]);
    }
    GIVE_BACK(array->dictionary);
    for (int64_t i = 0; i < array->n_buffers; i++) {
        free((void *)array->buffers[i]);
    }
    free(array->children);
    free(array->buffers);
    array->release = NULL;
}

/* ---- making: each leaves a structure that can be released, also where memory is out, which is told by -1 ---- */

static char *copy_text(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy == NULL ? NULL : memcpy(copy, text, size);
}

static int begin_schema(struct ArrowSchema *schema, const char *format, const char *name, int64_t flags,
                        int64_t children, int has_dictionary) {
    memset(schema, 0, sizeof *schema);
    schema->release = release_schema;
    schema->flags = flags;
    schema->format = copy_text(format);
    schema->name = copy_text(name);
    schema->children = calloc((size_t)children + 1, sizeof *schema->children);
    if (schema->format == NULL || schema->name == NULL || schema->children == NULL) {
        return -1;
    }
    for (; schema->n_children < children; schema->n_children++) {
        if ((schema->children[schema->n_children] = calloc(1, sizeof **schema->children)) == NULL) {
            return -1;
        }
    }
    return has_dictionary && (schema->dictionary = calloc(1, sizeof *schema->dictionary)) == NULL ? -1 : 0;
}

static int begin_array(struct ArrowArray *array, int64_t length, int64_t null_count, int64_t buffers, int64_t children,
                       int has_dictionary) {
    memset(array, 0, sizeof *array);
    array->release = release_array;
    array->length = length;
    array->null_count = null_count;
    array->buffers = calloc((size_t)buffers + 1, sizeof *array->buffers);
    array->children = calloc((size_t)children + 1, sizeof *array->children);
    if (array->buffers == NULL || array->children == NULL) {
        return -1;
    }
    array->n_buffers = buffers;
    for (; array->n_children < children; array->n_children++) {
        if ((array->children[array->n_children] = calloc(1, sizeof **array->children)) == NULL) {
            return -1;
        }
    }
    return has_dictionary && (array->dictionary = calloc(1, sizeof *array->dictionary)) == NULL ? -1 : 0;
}

/* Buffers are never NULL but for a bitmap that is not there: empty ones too have an address. */
static int put_buffer(struct ArrowArray *array, int64_t number, const void *bytes, size_t size) {
    void *copy = malloc(size + 1);
    if (copy == NULL) {
        return -1;
    }
    memcpy(copy, bytes, size);
    array->buffers[number] = copy;
    return 0;
}

static int copy_schema(const struct ArrowSchema *from, struct ArrowSchema *into) {
    if (begin_schema(into, from->format, from->name, from->flags, from->n_children, from->dictionary != NULL) < 0) {
        return -1;
    }
    for (int64_t i = 0; i < from->n_children; i++) {
        if (copy_schema(from->children[i], into->children[i]) < 0) {
            return -1;
        }
    }
    return from->dictionary != NULL ? copy_schema(from->dictionary, into->dictionary) : 0;
}

/* ---- a stream of one array ---- */

typedef struct {
    struct ArrowSchema schema;
    struct ArrowArray array; /* released, or moved away, once it has been asked for */
} one_array;

static int stream_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
    const one_array *of = stream->private_data;
    if (copy_schema(&of->schema, out) < 0) {
        out->release(out);
        return ENOMEM;
    }
    return 0;
}

static int stream_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
    one_array *of = stream->private_data;
    *out = of->array; /* without a release, which means the end, from the second time on */
    of->array.release = NULL;
    return 0;
}

static const char *stream_error(struct ArrowArrayStream *stream) {
    (void)stream;
    return NULL;
}

static void release_stream(struct ArrowArrayStream *stream) {
    one_array *of = stream->private_data;
    if (of->schema.release != NULL) {
        of->schema.release(&of->schema);
    }
    if (of->array.release != NULL) {
        of->array.release(&of->array);
    }
    free(of);
    stream->release = NULL;
}

static int begin_stream(struct ArrowArrayStream *stream) {
    stream->get_schema = stream_schema;
    stream->get_next = stream_next;
    stream->get_last_error = stream_error;
    stream->private_data = calloc(1, sizeof(one_array));
    stream->release = stream->private_data == NULL ? NULL : release_stream;
    return stream->private_data == NULL ? -1 : 0;
}

#endif
