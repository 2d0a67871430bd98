/* Preloaded into a MicroPython VM, makes time.time_ns() the processor time of its thread, and with TICKS
   time.ticks_us(), too: nothing else that a VM can read is finer than a millisecond. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int read_clock(clockid_t clock, struct timespec *now)
{
#ifdef TICKS
    if (clock == CLOCK_MONOTONIC)
        clock = CLOCK_THREAD_CPUTIME_ID;
#endif
    return (int)syscall(SYS_clock_gettime, clock, now);
}

#ifdef TICKS
int clock_gettime(clockid_t clock, struct timespec *now)
{
    return read_clock(clock, now);
}
#endif

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec used;

    (void)zone;
    if (read_clock(CLOCK_THREAD_CPUTIME_ID, &used))
        return -1;
    now->tv_sec = used.tv_sec;
    now->tv_usec = used.tv_nsec / 1000;
    return 0;
}
