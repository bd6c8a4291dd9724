/* interrupt.c - the only handlers in the program, and the only variables they write.
 *
 * A wait looks at the flag and then sleeps; a signal between the two would be slept over, and
 * one that another thread takes does not end a sleep at all. So handlers also write to a
 * pipe, and waits poll it. */
#include "interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

/* sig_atomic_t is int on every system this builds for; the library polls an int. */
static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t final;

static int wake[2] = {-1, -1}; /* read end, write end; neither blocks. -1: poll leaves it out */

static void note(int signal) {
    const int before = errno;
    if (signal != SIGINT) final = 1;
    interrupted = 1;
    if (wake[1] >= 0) (void)!write(wake[1], "", 1); /* full: as good as one more byte */
    errno = before;
}

/* Without a pipe all is as well as it is with EINTR alone. */
static void open_wake(void) {
    if (wake[0] >= 0 || pipe(wake) != 0) return;
    for (int i = 0; i < 2; i++) {
        (void)fcntl(wake[i], F_SETFL, O_NONBLOCK);
        (void)fcntl(wake[i], F_SETFD, FD_CLOEXEC);
    }
}

static void drain_wake(void) {
    char bytes[64];
    ssize_t n = wake[0] >= 0 ? 1 : 0;
    while (n > 0)
        n = read(wake[0], bytes, sizeof bytes);
}

static void handle(int signal, void (*handler)(int), int flags) {
    struct sigaction action = {0};
    action.sa_handler = handler;
    action.sa_flags = flags;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(signal, &action, NULL);
}

const volatile int *cli_interrupt_install(void) {
    const int once = (int)(SA_RESETHAND | SA_RESTART); /* the second one has its usual effect */
    handle(SIGINT, note, once);
    handle(SIGTERM, note, once);
    handle(SIGPIPE, SIG_IGN, 0);
    return &interrupted;
}

const volatile int *cli_interrupt_catch(void) {
    open_wake();
    handle(SIGINT, note, 0);
    handle(SIGTERM, note, 0);
    handle(SIGHUP, note, 0);
    handle(SIGPIPE, SIG_IGN, 0);
    return &interrupted;
}

void cli_interrupt_clear(void) {
    interrupted = 0;
}

bool cli_interrupt_is_final(void) {
    return final != 0;
}

bool cli_interrupt_wait(int fd) {
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = wake[0], .events = POLLIN}};
    while (!interrupted) {
        const int n = poll(fds, 2, -1);
        if (n < 0 && errno != EINTR) return true; /* reading will say why */
        if (n > 0 && fds[0].revents && !interrupted) return true;
        drain_wake(); /* what woke us has set the flag before */
    }
    return false;
}
