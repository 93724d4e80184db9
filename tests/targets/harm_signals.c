/* Counts signals of three kinds where a handler in Python would count several as one. A library; see harm_signals.py. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { QUEUED_LIMIT = 1 << 20, INTERVAL = 1000000, CHILD_SECONDS = 10, SAMPLES = 2000 };
static unsigned char seen[QUEUED_LIMIT];
static long ticks, born, ended, lost_ends, timer_start;
static int stopping;

static void on_queued(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    unsigned at = info->si_value.sival_int;
    if (at < QUEUED_LIMIT) __atomic_add_fetch(&seen[at], 1, __ATOMIC_SEQ_CST);
}
static void on_tick(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    __atomic_add_fetch(&ticks, 1 + info->si_overrun, __ATOMIC_SEQ_CST);
}
static void on_child(int number, siginfo_t *info, void *context) {
    (void)number, (void)info, (void)context;
    __atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
}
static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000 + time.tv_nsec;
}
static long count(long *what) { return __atomic_load_n(what, __ATOMIC_SEQ_CST); }

/* One child at a time, so that no two ends become one signal. */
static void *bear_children(void *unused) {
    while (!stopping) {
        pid_t pid = fork();
        if (!pid) _exit(0);
        born++;
        long deadline = now() + CHILD_SECONDS * 1000000000L;
        while (count(&ended) + lost_ends < born && now() < deadline) usleep(100);
        if (count(&ended) + lost_ends < born) lost_ends++;
        waitpid(pid, NULL, 0);
        usleep(2000);
    }
    return unused;
}

static pthread_t children;

void begin(int queued, int tick) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP;
    action.sa_sigaction = on_queued;
    sigaction(queued, &action, NULL);
    action.sa_sigaction = on_tick;
    sigaction(tick, &action, NULL);
    action.sa_sigaction = on_child;
    sigaction(SIGCHLD, &action, NULL);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = tick};
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_start = now();
    long first = timer_start + INTERVAL;
    struct itimerspec spec = {{0, INTERVAL}, {first / 1000000000, first % 1000000000}};
    timer_settime(timer, TIMER_ABSTIME, &spec, NULL);
    pthread_create(&children, NULL, bear_children, NULL);
}

/* Seven numbers: of `sent` queued signals those that never came and those that came twice, ticks, ticks lost, ticks too
   many, children, ends of these lost or (below zero) doubled. */
void tell(long sent, long *told) {
    memset(told, 0, 7 * sizeof *told);
    for (long at = 0; at < QUEUED_LIMIT; at++) {
        told[0] += at < sent && !seen[at];
        told[1] += seen[at] > (at < sent);
    }
    long least = 1L << 60, most = -least;
    for (int sample = 0; sample < SAMPLES; sample++) { /* a tick that is just on its way is not lost */
        long came = count(&ticks), due = (now() - timer_start) / INTERVAL, after = count(&ticks);
        if (due - after < least) least = due - after;
        if (came - due > most) most = came - due;
        usleep(300);
    }
    told[2] = count(&ticks);
    told[3] = least > 0 ? least : 0;
    told[4] = most > 0 ? most : 0;
    stopping = 1;
    pthread_join(children, NULL);
    told[5] = born;
    told[6] = born - count(&ended);
}
