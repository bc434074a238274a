// Preloaded into a server, this shifts its time of day by the seconds in the file that
// REDLOCK_CLOCK names, a number of twelve characters. The monotonic clock is not shifted.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int64_t shift(void) {
  static const char *at;
  if (!at) {
    const char *file = getenv("REDLOCK_CLOCK");
    if (!file) return 0;
    int fd = open(file, O_RDONLY);
    void *p = mmap(NULL, 13, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED) return 0;
    at = p;
  }
  return strtoll(at, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *t) {
  int r = syscall(SYS_clock_gettime, clock, t);
  if (!r && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += shift();
  return r;
}

int gettimeofday(struct timeval *t, void *zone) {
  int r = syscall(SYS_gettimeofday, t, zone);
  if (!r && t) t->tv_sec += shift();
  return r;
}

time_t time(time_t *to) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  if (to) *to = t.tv_sec;
  return t.tv_sec;
}
