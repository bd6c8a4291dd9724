/* interrupt.c - the only handlers in the program, and the only variables they write. */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

/* sig_atomic_t is int on every system this builds for; the library polls an int. */
static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t final;

static void note(int signal) {
    interrupted = 1;
    if (signal != SIGINT) final = 1;
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
