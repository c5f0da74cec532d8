/* A crew: threads that scan rows and read files while Python does something else. They never touch Python or its lock.
 *
 * Rules: no parsing and no Python here, only who does what when. A job belongs to the crew from `queue_job` until
 * `take_done` gives it back; all that it points to stays as it is until then, which the caller (Crew in _kernel.pyx)
 * sees to by holding it. Jobs begin in the order in which they came and end in any: whoever needs an order queues the
 * next one when the last is done.
 *
 * Whoever waits watches one descriptor: an eventfd or, without it, one end of a socket pair. It becomes readable when
 * the first job is done that has not been taken; what is done before it is drained wakes nobody again, so a burst costs
 * one wake-up.
 */
#ifndef MOCKEXPORT_CREW_H
#define MOCKEXPORT_CREW_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "scanning.h"

/* Jobs that have been queued and not taken back. Slabs are fewer: more than this is a mistake of the caller. */
#define MAX_JOBS 1024
#define MAX_CREW 64
/* A scan needs few KiB of stack; the rest is room for what sanitizers add. Only what is touched takes memory. */
#define CREW_STACK_BYTES (1 << 20)

enum { JOB_SCAN = 1, JOB_READ = 2 };

typedef struct {
    int kind;
    /* A scan of whole rows. */
    row_scan *scan;
    summary_state *state;
    const uint8_t *data;
    /* A read from a file, at a place of its own: the file's position is left alone. */
    int fd;
    uint8_t *into;
    int64_t offset;
    size_t size;    /* of the rows, or of what is to be read */
    int64_t result; /* of a scan: 0 or -1 (scan_chunk); of a read: bytes, fewer only at the end, or the error, negative */
    void *owner;    /* whose job it is; not looked at */
} crew_job;

#if defined(_WIN32)

typedef struct {
    unsigned threads;
    int watched;
    uint32_t held;
} crew;

static int begin_crew(crew *of, unsigned threads, int with_eventfd) {
    (void)of, (void)threads, (void)with_eventfd;
    return ENOSYS;
}
static int queue_job(crew *of, crew_job *job) {
    (void)of, (void)job;
    return -1;
}
static size_t take_done(crew *of, crew_job **taken) {
    (void)of, (void)taken;
    return 0;
}
static void join_crew(crew *of) {
    (void)of;
}
static void end_crew(crew *of) {
    (void)of;
}

#else

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

/* Each job is in one of the two rings or at work, so neither ever holds more than MAX_JOBS. */
typedef struct {
    crew_job *jobs[MAX_JOBS];
    uint32_t first, count;
} job_ring;

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* there is a job, or the end */
    job_ring queued, done;
    uint32_t held; /* jobs that have been queued and not taken back */
    int ending;
    pthread_t members[MAX_CREW];
    unsigned threads;    /* those that run */
    int watched, waking; /* the same for an eventfd; the two ends of a socket pair */
    pid_t process;       /* a fork has none of the threads */
} crew;

static inline void put_job(job_ring *into, crew_job *job) {
    into->jobs[(into->first + into->count++) % MAX_JOBS] = job;
}

static inline crew_job *next_job(job_ring *from) {
    crew_job *job = from->jobs[from->first];
    from->first = (from->first + 1) % MAX_JOBS;
    from->count--;
    return job;
}

/* Read until there is what was asked for, or nothing more. An error after some bytes is for the next read to meet. */
static int64_t read_whole(int fd, uint8_t *into, size_t size, int64_t offset) {
    size_t have = 0;
    while (have < size) {
        ssize_t got = pread(fd, into + have, size - have, (off_t)(offset + (int64_t)have));
        if (got > 0) {
            have += (size_t)got;
        } else if (got == 0) {
            break;
        } else if (errno != EINTR) {
            return have != 0 ? (int64_t)have : -(int64_t)errno;
        }
    }
    return (int64_t)have;
}

static void do_job(crew_job *job) {
    job->result = job->kind == JOB_SCAN ? scan_chunk(job->scan, job->state, job->data, job->size)
                                        : read_whole(job->fd, job->into, job->size, job->offset);
}

/* What cannot be written because it is full is readable already. */
static void wake_watcher(const crew *of) {
    const uint64_t one = 1;
    while (write(of->waking, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

static void drain_watched(const crew *of) {
    uint64_t words[64];
    ssize_t got;
    do {
        got = read(of->watched, words, sizeof words);
    } while (got == (ssize_t)sizeof words || (got < 0 && errno == EINTR));
}

/* Let this thread not take the processor from whoever wakes it: that one is about to hand out more work. */
static void yield_to_others(void) {
#ifdef SCHED_BATCH
    const struct sched_param none = {0};
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none); /* where it may not, it is only slower */
#endif
}

static void *work_in_crew(void *given) {
    crew *of = given;
    yield_to_others();
    pthread_mutex_lock(&of->lock);
    for (;;) {
        while (of->queued.count == 0 && !of->ending) {
            pthread_cond_wait(&of->changed, &of->lock);
        }
        if (of->queued.count == 0) {
            break;
        }
        crew_job *job = next_job(&of->queued);
        pthread_mutex_unlock(&of->lock);
        do_job(job);
        pthread_mutex_lock(&of->lock);
        put_job(&of->done, job);
        if (of->done.count == 1) {
            pthread_mutex_unlock(&of->lock);
            wake_watcher(of);
            pthread_mutex_lock(&of->lock);
        }
    }
    pthread_mutex_unlock(&of->lock);
    return NULL;
}

static int begin_watched(crew *of, int with_eventfd) {
#ifdef __linux__
    if (with_eventfd) {
        of->watched = of->waking = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return of->watched < 0 ? errno : 0;
    }
#endif
    (void)with_eventfd;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) {
        return errno;
    }
    for (int i = 0; i < 2; i++) {
        if (fcntl(ends[i], F_SETFD, FD_CLOEXEC) < 0 || fcntl(ends[i], F_SETFL, O_NONBLOCK) < 0) {
            int error = errno;
            close(ends[0]);
            close(ends[1]);
            return error;
        }
    }
    of->watched = ends[0];
    of->waking = ends[1];
    return 0;
}

/* Begin a crew, all zeros so far, of up to so many threads: return 0, or an error with nothing begun. Where the system
 * has room for fewer threads, but for one, there are fewer. */
static int begin_crew(crew *of, unsigned threads, int with_eventfd) {
    pthread_attr_t attributes;
    sigset_t all, before;
    int error = begin_watched(of, with_eventfd);
    if (error != 0) {
        return error;
    }
    pthread_mutex_init(&of->lock, NULL);
    pthread_cond_init(&of->changed, NULL);
    of->process = getpid();
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, CREW_STACK_BYTES);
    /* Signals are Python's: its threads take them. A new thread inherits what is blocked. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (of->threads < threads && error == 0) {
        error = pthread_create(&of->members[of->threads], &attributes, work_in_crew, of);
        of->threads += error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (of->threads != 0) {
        return 0;
    }
    close(of->watched);
    if (of->waking != of->watched) {
        close(of->waking);
    }
    pthread_cond_destroy(&of->changed);
    pthread_mutex_destroy(&of->lock);
    return error;
}

/* Give the crew a job: 0, or -1 if it has as many as it takes. `held` changes here and in take_done alone, which are
 * called by one thread at a time (Python's lock). */
static int queue_job(crew *of, crew_job *job) {
    pthread_mutex_lock(&of->lock);
    int result = of->held < MAX_JOBS ? 0 : -1;
    if (result == 0) {
        of->held++;
        put_job(&of->queued, job);
    }
    pthread_mutex_unlock(&of->lock);
    if (result == 0) {
        pthread_cond_signal(&of->changed); /* now, or who is woken would first wait for the lock */
    }
    return result;
}

/* Take back the jobs that are done, up to MAX_JOBS; return how many: none in a fork, where nobody does any. Drained
 * first: a job that is done in between is taken, and its waking finds nothing the next time, which does no harm. */
static size_t take_done(crew *of, crew_job **taken) {
    size_t count = 0;
    if (of->process != getpid()) {
        return 0;
    }
    drain_watched(of);
    pthread_mutex_lock(&of->lock);
    while (of->done.count != 0) {
        taken[count++] = next_job(&of->done);
    }
    of->held -= (uint32_t)count;
    pthread_mutex_unlock(&of->lock);
    return count;
}

/* Let the threads do what is queued, and end them. In a fork there are none, and the lock may be held for ever. */
static void join_crew(crew *of) {
    if (of->process == getpid()) {
        pthread_mutex_lock(&of->lock);
        of->ending = 1;
        pthread_cond_broadcast(&of->changed);
        pthread_mutex_unlock(&of->lock);
        for (unsigned i = 0; i < of->threads; i++) {
            pthread_join(of->members[i], NULL);
        }
    }
    of->threads = 0;
}

/* Give back what a crew that has been joined holds. */
static void end_crew(crew *of) {
    close(of->watched);
    if (of->waking != of->watched) {
        close(of->waking);
    }
    if (of->process == getpid()) {
        pthread_cond_destroy(&of->changed);
        pthread_mutex_destroy(&of->lock);
    }
}

#endif

#endif
