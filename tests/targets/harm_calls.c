/* Waits for so many seconds in each of the system calls that wait, a thread for each, and tells what came of it.

   A library, for a Python: begin(), then end() of each. What is told is "NAME OUTCOME MILLISECONDS": "ok" where it came
   as it should, else the name of an error, or "short". Waits without a time of their own are ended by a helper. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int seconds;
static struct timespec spec(void) { return (struct timespec){.tv_sec = seconds}; }
static struct timeval val(void) { return (struct timeval){.tv_sec = seconds}; }
static int result(long value) { return value < 0 ? errno : 0; }
static int timed(long value) { return value < 0 ? (errno == EAGAIN || errno == ETIMEDOUT ? 0 : errno) : 0; }

/* What ends a wait that has no time of its own. */
struct waker { void (*wake)(long); long what; };
static void *wake_later(void *argument) {
    struct waker waker = *(struct waker *)argument;
    free(argument);
    prctl(PR_SET_NAME, "waker");
    struct timespec left = spec();
    while (nanosleep(&left, &left)) {}
    waker.wake(waker.what);
    return NULL;
}
static void later(void (*wake)(long), long what) {
    struct waker *waker = malloc(sizeof *waker);
    *waker = (struct waker){wake, what};
    pthread_t thread;
    pthread_create(&thread, NULL, wake_later, waker);
    pthread_detach(thread);
}
static void give_byte(long fd) { if (write(fd, "\n\n\n\n\n\n\n\n", 8) < 0) {} }
static void send_signal(long thread) { pthread_kill(thread, SIGUSR1); }
static void unlock(long fd) { flock(fd, LOCK_UN); }
static void unlock_range(long fd) { struct flock all = {.l_type = F_UNLCK}; fcntl(fd, F_OFD_SETLK, &all); }
static void wake_word(long word) { *(int *)word = 0; syscall(SYS_futex, word, FUTEX_WAKE, 1, 0, 0, 0); }
static void drain(long fd) { char data[65536]; for (long left = 300000; left > 0;) left -= read(fd, data, sizeof data); }
static void take_one(long fd) { close(accept(fd, 0, 0)); }
static void connect_to(long fd);

static int in_nanosleep(void) { struct timespec time = spec(); return result(nanosleep(&time, NULL)); }
static int in_clock_nanosleep(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_sec += seconds;
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}
static int in_poll(void) { return result(poll(NULL, 0, seconds * 1000)); }
static int in_ppoll(void) { struct timespec time = spec(); return result(ppoll(NULL, 0, &time, NULL)); }
static int in_select(void) { struct timeval time = val(); return result(select(0, 0, 0, 0, &time)); }
static int in_pselect(void) { struct timespec time = spec(); return result(pselect(0, 0, 0, 0, &time, NULL)); }
static int in_epoll_wait(void) {
    struct epoll_event event;
    return result(epoll_wait(epoll_create1(0), &event, 1, seconds * 1000));
}
static int in_epoll_pwait(void) {
    struct epoll_event event;
    sigset_t set;
    sigemptyset(&set);
    return result(epoll_pwait(epoll_create1(0), &event, 1, seconds * 1000, &set));
}
static int futex(int operation, struct timespec *time) {
    int word = 1;
    return syscall(SYS_futex, &word, operation, 1, time, NULL, -1) && errno != ETIMEDOUT ? errno : 0;
}
static int in_futex_timed(void) { struct timespec time = spec(); return futex(FUTEX_WAIT, &time); }
static int in_futex_until(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_sec += seconds;
    return futex(FUTEX_WAIT_BITSET, &time);
}
static int in_futex(void) {
    static int word = 1;
    later(wake_word, (long)&word);
    return result(syscall(SYS_futex, &word, FUTEX_WAIT, 1, NULL, NULL, 0));
}
static int child(void) {
    int pid = fork();
    if (!pid) {
        struct timespec left = spec();
        while (nanosleep(&left, &left)) {}
        _exit(0);
    }
    return pid;
}
static int in_wait4(void) { return result(waitpid(child(), NULL, 0)); }
static int in_waitid(void) { siginfo_t info; return result(waitid(P_PID, child(), &info, WEXITED)); }
static int read_from(int fd) { char data[8]; return result(read(fd, data, sizeof data)); }
static int in_read_pipe(void) { int fds[2]; if (pipe(fds)) return errno; later(give_byte, fds[1]); return read_from(fds[0]); }
static int in_read_tty(void) {
    int leader, follower;
    if (openpty(&leader, &follower, NULL, NULL, NULL)) return errno;
    later(give_byte, leader);
    return read_from(follower);
}
static int in_read_eventfd(void) { int fd = eventfd(0, 0); later(give_byte, fd); return read_from(fd); }
static int in_read_timerfd(void) {
    struct itimerspec time = {.it_value = spec()};
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    timerfd_settime(fd, 0, &time, NULL);
    return read_from(fd);
}
static void send_third(long thread) { pthread_kill(thread, SIGRTMIN + 3); }
static int in_read_signalfd(void) {
    struct signalfd_siginfo info;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 3);
    later(send_third, pthread_self());
    return result(read(signalfd(-1, &set, 0), &info, sizeof info));
}
static void touch(long name) { close(open((char *)name, O_WRONLY | O_CREAT, 0600)); }
static int in_read_inotify(void) {
    static char name[] = "/tmp/harm-XXXXXX", data[4096];
    int file = mkstemp(name), fd = inotify_init();
    inotify_add_watch(fd, name, IN_OPEN);
    later(touch, (long)name);
    int error = result(read(fd, data, sizeof data));
    close(file);
    unlink(name);
    return error;
}
static int in_write_pipe(void) { /* more than it takes: an interruption would show as a short write */
    static char data[300000];
    int fds[2];
    if (pipe(fds)) return errno;
    later(drain, fds[0]);
    long done = write(fds[1], data, sizeof data);
    return done < 0 ? errno : done < (long)sizeof data ? -1 : 0;
}
static int in_open_fifo(void) {
    static char name[] = "/tmp/harm-fifo-XXXXXX";
    close(mkstemp(name));
    unlink(name);
    if (mkfifo(name, 0600)) return errno;
    later(touch, (long)name);
    int error = result(open(name, O_RDONLY));
    unlink(name);
    return error;
}
static int pair(int *fds) { return socketpair(AF_UNIX, SOCK_STREAM, 0, fds); }
static int in_recv(void) { int fds[2]; char data[8]; pair(fds); later(give_byte, fds[1]); return result(recv(fds[0], data, 8, 0)); }
static int in_recv_timed(void) {
    int fds[2];
    char data[8];
    struct timeval time = val();
    pair(fds);
    setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    return timed(recv(fds[0], data, 8, 0));
}
static int in_read_socket(void) { int fds[2]; pair(fds); later(give_byte, fds[1]); return read_from(fds[0]); }
static int in_send_timed(void) {
    static char data[1 << 20];
    int fds[2];
    struct timeval time = val();
    pair(fds);
    while (send(fds[0], data, 4096, MSG_DONTWAIT) > 0) {}
    setsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
    return timed(send(fds[0], data, 4096, 0));
}
static int listener(int *size, struct sockaddr_un *name) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    *size = sizeof *name;
    name->sun_family = AF_UNIX;
    bind(fd, (struct sockaddr *)name, sizeof(sa_family_t)); /* a name of the kernel's own */
    getsockname(fd, (struct sockaddr *)name, (socklen_t *)size);
    listen(fd, 0);
    return fd;
}
static void connect_to(long fd) {
    struct sockaddr_un name;
    socklen_t size = sizeof name;
    getsockname(fd, (struct sockaddr *)&name, &size);
    connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&name, size);
}
static int in_accept(void) {
    struct sockaddr_un name;
    int size, fd = listener(&size, &name);
    later(connect_to, fd);
    return result(accept(fd, 0, 0));
}
static int in_accept_timed(void) {
    struct sockaddr_un name;
    struct timeval time = val();
    int size, fd = listener(&size, &name);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    return timed(accept(fd, 0, 0));
}
static int in_connect(void) { /* its queue is full */
    struct sockaddr_un name;
    int size, fd = listener(&size, &name);
    connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&name, size);
    later(take_one, fd);
    return result(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&name, size));
}
static int in_flock(void) {
    static char name[] = "/tmp/harm-lock-XXXXXX";
    int fd = mkstemp(name), other = open(name, O_RDWR);
    unlink(name);
    flock(fd, LOCK_EX);
    later(unlock, fd);
    return result(flock(other, LOCK_EX));
}
static int in_fcntl_lock(void) {
    static char name[] = "/tmp/harm-range-XXXXXX";
    struct flock all = {.l_type = F_WRLCK};
    int fd = mkstemp(name), other = open(name, O_RDWR);
    unlink(name);
    fcntl(fd, F_OFD_SETLK, &all);
    later(unlock_range, fd);
    return result(fcntl(other, F_OFD_SETLKW, &all));
}
static void remove_semaphore(long id) { semctl(id, 0, IPC_RMID); }
static int in_semop(void) {
    int id = semget(IPC_PRIVATE, 1, 0600);
    struct sembuf down = {.sem_op = -1};
    later(remove_semaphore, id);
    int error = result(semop(id, &down, 1));
    return error == EIDRM ? 0 : error;
}
static int in_semtimedop(void) {
    int id = semget(IPC_PRIVATE, 1, 0600);
    struct sembuf down = {.sem_op = -1};
    struct timespec time = spec();
    int error = timed(semtimedop(id, &down, 1, &time));
    semctl(id, 0, IPC_RMID);
    return error;
}
static void remove_queue(long id) { msgctl(id, IPC_RMID, NULL); }
static int in_msgrcv(void) {
    struct { long type; char data[8]; } message;
    int id = msgget(IPC_PRIVATE, 0600);
    later(remove_queue, id);
    int error = result(msgrcv(id, &message, 8, 0, 0));
    return error == EIDRM ? 0 : error;
}
static int in_sigtimedwait(void) {
    struct timespec time = spec();
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 2);
    return timed(sigtimedwait(&set, NULL, &time));
}
static int in_sigwaitinfo(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    later(send_signal, pthread_self());
    return result(sigwaitinfo(&set, NULL));
}
static int by_signal(int error) { return error == EINTR ? 0 : error; }
static int in_pause(void) { later(send_signal, pthread_self()); return by_signal(result(pause())); }
static int in_sigsuspend(void) {
    sigset_t set;
    sigemptyset(&set);
    later(send_signal, pthread_self());
    return by_signal(result(sigsuspend(&set)));
}
static int in_io_getevents(void) {
    aio_context_t context = 0;
    struct io_event event;
    struct timespec time = spec();
    if (syscall(SYS_io_setup, 1, &context)) return errno;
    return result(syscall(SYS_io_getevents, context, 1, 1, &event, &time));
}

static struct { const char *name; int (*wait)(void); int error; long taken; } calls[] = {
#define CALL(name) {#name, in_##name}
    CALL(nanosleep), CALL(clock_nanosleep), CALL(poll), CALL(ppoll), CALL(select), CALL(pselect), CALL(futex),
    CALL(futex_timed), CALL(futex_until), CALL(wait4), CALL(waitid), CALL(pause), CALL(sigsuspend), CALL(read_pipe),
    CALL(read_tty), CALL(read_eventfd), CALL(read_timerfd), CALL(read_signalfd), CALL(read_inotify),
    CALL(read_socket), CALL(write_pipe), CALL(open_fifo), CALL(recv), CALL(recv_timed), CALL(send_timed), CALL(accept),
    CALL(accept_timed), CALL(connect), CALL(flock), CALL(fcntl_lock), CALL(epoll_wait), CALL(epoll_pwait),
    CALL(semop), CALL(semtimedop), CALL(msgrcv), CALL(sigtimedwait), CALL(sigwaitinfo), CALL(io_getevents),
};
#define COUNT (sizeof calls / sizeof *calls)

static void ignore(int number) { (void)number; }
static void *run_one(void *argument) {
    long at = (long)argument;
    struct timespec begun, ended;
    prctl(PR_SET_NAME, calls[at].name);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    calls[at].error = calls[at].wait();
    clock_gettime(CLOCK_MONOTONIC, &ended);
    calls[at].taken = (ended.tv_sec - begun.tv_sec) * 1000 + (ended.tv_nsec - begun.tv_nsec) / 1000000;
    return NULL;
}

/* The number of calls. */
int begin(int for_seconds, pthread_t *threads) {
    struct sigaction action = {.sa_handler = ignore};
    sigset_t set;
    sigaction(SIGUSR1, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 2); /* who waits for these */
    sigaddset(&set, SIGRTMIN + 3);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    seconds = for_seconds;
    for (unsigned long at = 0; at < COUNT; at++) pthread_create(&threads[at], NULL, run_one, (void *)at);
    return COUNT;
}

/* Waits for the end of one, and tells it. */
void end(pthread_t thread, int at, char *text, int size) {
    pthread_join(thread, NULL);
    int error = calls[at].error;
    const char *outcome = !error ? "ok" : error < 0 ? "short" : strerrorname_np(error);
    snprintf(text, size, "%s %s %ld", calls[at].name, outcome, calls[at].taken);
}
