/*
 * A disk that loses what was not synced, fails, fills or crawls, and a wall clock that is wrong: preloaded into a node's processes.
 *
 * SHIM_CONTROL  a file of eight 64-bit integers, mapped and read at each call: the faults in force (enum below).
 * SHIM_FOLDER   only files below it have a faulty disk.
 * SHIM_UNDO     before each write, what it replaces is noted here, and after each sync that it was synced; whoever switches the
 *               node off takes back what was not.
 *
 * Each note: uint64 kind (1 write, 2 synced), device, inode, offset, length of what was there, size of the file; then what was there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SYNC_DELAY_MS, SYNC_ERROR, WRITE_DELAY_MS, WRITE_ERROR, CLOCK_OFFSET_MS, CLOCK_RATE_PPM, CLOCK_SINCE_MS, SYNC_IGNORED, FIELDS };

static volatile int64_t *control;
static char folder[PATH_MAX];
static size_t folder_length;
static int undo = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name, type, args) \
  static type(*real) args; \
  if (!real) real = (type(*) args)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("SHIM_CONTROL"), *below = getenv("SHIM_FOLDER"), *notes = getenv("SHIM_UNDO");
  if (path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
      void *mapped = mmap(NULL, FIELDS * sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
      if (mapped != MAP_FAILED) control = mapped;
      close(fd);
    }
  }
  if (below && realpath(below, folder)) folder_length = strlen(folder);
  if (notes && folder_length) undo = open(notes, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int64_t fault(int field) { return control ? control[field] : 0; }

static int64_t real_ms(clockid_t clock) {
  REAL(clock_gettime, int, (clockid_t, struct timespec *));
  struct timespec now;
  real(clock, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void rest_ms(int64_t ms) {
  if (ms <= 0) return;
  struct timespec left = {ms / 1000, (ms % 1000) * 1000000};
  while (nanosleep(&left, &left) && errno == EINTR) {}
}

/* Whether the descriptor is a file of this node's disk. */
static int is_ours(int fd, struct stat *seen) {
  if (!folder_length) return 0;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < (ssize_t)folder_length || strncmp(path, folder, folder_length)) return 0;
  return fstat(fd, seen) == 0;
}

static void put_note(const uint64_t *note, const void *bytes, size_t length) {
  REAL(writev, ssize_t, (int, const struct iovec *, int));
  struct iovec parts[2] = {{(void *)note, 6 * sizeof *note}, {(void *)bytes, length}};
  (void)!real(undo, parts, length ? 2 : 1);
}

/* `offset` below zero: where the file stands, or its end where it is appended to. */
static void note_write(int fd, off_t offset, size_t length) {
  struct stat seen;
  if (fstat(fd, &seen)) return;
  if (offset < 0) offset = (fcntl(fd, F_GETFL) & O_APPEND) ? seen.st_size : lseek(fd, 0, SEEK_CUR);
  size_t there = offset >= seen.st_size ? 0 : (size_t)(seen.st_size - offset);
  if (there > length) there = length;
  char *before = there ? malloc(there) : NULL;
  if (there) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int reader = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = reader < 0 ? -1 : pread(reader, before, there, offset);
    if (reader >= 0) close(reader);
    there = got < 0 ? 0 : (size_t)got;
  }
  uint64_t note[6] = {1, seen.st_dev, seen.st_ino, (uint64_t)offset, there, (uint64_t)seen.st_size};
  put_note(note, before, there);
  free(before);
}

static int write_fault(void) {
  rest_ms(fault(WRITE_DELAY_MS));
  if (!fault(WRITE_ERROR)) return 0;
  errno = (int)fault(WRITE_ERROR);
  return 1;
}

#define WRITING(fd, offset, length, call) \
  struct stat kind; \
  if (!is_ours(fd, &kind) || !S_ISREG(kind.st_mode)) return call; \
  if (write_fault()) return -1; \
  if (undo < 0) return call; \
  pthread_mutex_lock(&lock); \
  note_write(fd, offset, length); \
  ssize_t done = call; \
  int kept = errno; \
  pthread_mutex_unlock(&lock); \
  errno = kept; \
  return done

static size_t total(const struct iovec *parts, int count) {
  size_t sum = 0;
  for (int at = 0; at < count; at++) sum += parts[at].iov_len;
  return sum;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  REAL(write, ssize_t, (int, const void *, size_t));
  WRITING(fd, -1, length, real(fd, bytes, length));
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  REAL(pwrite, ssize_t, (int, const void *, size_t, off_t));
  WRITING(fd, offset, length, real(fd, bytes, length, offset));
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) {
  REAL(pwrite64, ssize_t, (int, const void *, size_t, off_t));
  WRITING(fd, offset, length, real(fd, bytes, length, offset));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(writev, ssize_t, (int, const struct iovec *, int));
  WRITING(fd, -1, total(parts, count), real(fd, parts, count));
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  REAL(pwritev, ssize_t, (int, const struct iovec *, int, off_t));
  WRITING(fd, offset, total(parts, count), real(fd, parts, count, offset));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) {
  REAL(pwritev64, ssize_t, (int, const struct iovec *, int, off_t));
  WRITING(fd, offset, total(parts, count), real(fd, parts, count, offset));
}

/* What a sync makes durable is what was written before it began. */
static int synced(int fd, int (*sync)(int)) {
  struct stat seen;
  if (!folder_length || !is_ours(fd, &seen)) return sync(fd);
  rest_ms(fault(SYNC_DELAY_MS));
  if (fault(SYNC_ERROR)) {
    errno = (int)fault(SYNC_ERROR);
    return -1;
  }
  if (fault(SYNC_IGNORED)) return 0;
  if (undo < 0) return sync(fd);
  if (S_ISREG(seen.st_mode)) {
    uint64_t note[6] = {2, seen.st_dev, seen.st_ino, 0, 0, 0};
    pthread_mutex_lock(&lock);
    put_note(note, NULL, 0);
    pthread_mutex_unlock(&lock);
  }
  return 0; /* Nothing survives this machine's own end anyway: the notes are what is durable here. */
}

int fsync(int fd) {
  REAL(fsync, int, (int));
  return synced(fd, real);
}

int fdatasync(int fd) {
  REAL(fdatasync, int, (int));
  return synced(fd, real);
}

static int64_t shift_ms(void) {
  int64_t rate = fault(CLOCK_RATE_PPM);
  return fault(CLOCK_OFFSET_MS) + (rate ? (real_ms(CLOCK_MONOTONIC) - fault(CLOCK_SINCE_MS)) * rate / 1000000 : 0);
}

static void shift(struct timespec *when, int64_t ms) {
  int64_t nanoseconds = when->tv_nsec + (ms % 1000) * 1000000;
  when->tv_sec += ms / 1000;
  if (nanoseconds < 0) {
    when->tv_sec -= 1;
    nanoseconds += 1000000000;
  } else if (nanoseconds >= 1000000000) {
    when->tv_sec += 1;
    nanoseconds -= 1000000000;
  }
  when->tv_nsec = nanoseconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  REAL(clock_gettime, int, (clockid_t, struct timespec *));
  int answer = real(clock, now);
  if (answer == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) shift(now, shift_ms());
  return answer;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact;
  (void)zone;
  int answer = clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return answer;
}

time_t time(time_t *where) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (where) *where = exact.tv_sec;
  return exact.tv_sec;
}
