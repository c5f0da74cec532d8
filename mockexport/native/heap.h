/* The C library's heap, in a process that is a run and nothing else.
 *
 * glibc gives freed blocks of a run's sizes back to the system and asks for them anew: a page fault for every 4 KiB that
 * are received, a sixth of a run's system time. Kept, they cost no more: a run's next chunk is as large as its last. And
 * it gives every thread a heap of its own, which keeps what was freed there: up to 20 MB where files are unpacked.
 */
#ifndef MOCKEXPORT_HEAP_H
#define MOCKEXPORT_HEAP_H

#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>

static void tune_heap(void) {
    mallopt(M_MMAP_THRESHOLD, 4 << 20); /* what is larger is rare, and given back */
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
    mallopt(M_ARENA_MAX, 1);
}
#else
static void tune_heap(void) {}
#endif

#endif
