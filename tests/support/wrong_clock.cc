// wrong_clock.cc: the wall clock of a process, WRONG_CLOCK_SECONDS off. Preloaded: LD_PRELOAD=wrong_clock.so
// laneway …
//
// faketime would do the same, but allocates within clock_gettime, which the binary's allocator asks for the
// time. The monotonic clocks are left alone. A wait until a time of this clock is told to the C library in
// its own.
#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>

namespace {

long Off() {
  static const long off = [] {
    const char* text = getenv("WRONG_CLOCK_SECONDS");
    return text == nullptr ? 0L : strtol(text, nullptr, 10);
  }();
  return off;
}

timespec Really(timespec until) {
  until.tv_sec -= Off();
  return until;
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const auto result = static_cast<int>(syscall(SYS_clock_gettime, clock, now));
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += Off();
  return result;
}

extern "C" int gettimeofday(timeval* now, void*) noexcept {
  timespec precise{};
  const int result = clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return result;
}

extern "C" time_t time(time_t* now) noexcept {
  timespec precise{};
  (void)clock_gettime(CLOCK_REALTIME, &precise);
  if (now != nullptr) *now = precise.tv_sec;
  return precise.tv_sec;
}

extern "C" int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                      const timespec* until) {
  using Wait = int (*)(pthread_cond_t*, pthread_mutex_t*, const timespec*);
  // the newer of two of that name
  static const auto wait = reinterpret_cast<Wait>(dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2"));
  const timespec really = Really(*until);
  return wait(condition, mutex, &really);
}

extern "C" int cnd_timedwait(cnd_t* condition, mtx_t* mutex, const timespec* until) {
  using Wait = int (*)(cnd_t*, mtx_t*, const timespec*);
  static const auto wait = reinterpret_cast<Wait>(dlsym(RTLD_NEXT, "cnd_timedwait"));
  const timespec really = Really(*until);
  return wait(condition, mutex, &really);
}
