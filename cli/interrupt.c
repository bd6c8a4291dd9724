/* interrupt.c - the only handler in the program, and the only variable it writes. */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

/* sig_atomic_t is int on every system this builds for; the library polls an int. */
static volatile sig_atomic_t interrupted;

static void note(int signal) {
    (void)signal;
    interrupted = 1;
}

const volatile int *cli_interrupt_install(void) {
    struct sigaction once = {0}, ignore = {0};
    once.sa_handler = note;
    once.sa_flags = (int)(SA_RESETHAND | SA_RESTART); /* the second one has its usual effect */
    (void)sigemptyset(&once.sa_mask);
    (void)sigaction(SIGINT, &once, NULL);
    (void)sigaction(SIGTERM, &once, NULL);
    ignore.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &ignore, NULL);
    return &interrupted;
}
