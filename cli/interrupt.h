/* interrupt.h - Ctrl-C asks politely. */
#ifndef SL_CLI_INTERRUPT_H
#define SL_CLI_INTERRUPT_H

#include <stdbool.h>

/* From now on the first SIGINT or SIGTERM only sets the flag that is returned; the
 * second one ends the program. Writing to a closed pipe becomes EPIPE. */
const volatile int *cli_interrupt_install(void);

/* The same for a program that goes on after Ctrl-C: every SIGINT sets the flag, and ends a
 * read that waits (EINTR) or cli_interrupt_wait(). SIGTERM and SIGHUP also set the one
 * cli_interrupt_is_final() looks at. */
const volatile int *cli_interrupt_catch(void);
void cli_interrupt_clear(void);
bool cli_interrupt_is_final(void);

/* Wait until fd has something to read, or its end or an error: true. False if the flag of
 * cli_interrupt_catch() is set, however shortly before or after the call. */
bool cli_interrupt_wait(int fd);

#endif
