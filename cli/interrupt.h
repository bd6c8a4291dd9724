/* interrupt.h - Ctrl-C asks politely once. */
#ifndef SL_CLI_INTERRUPT_H
#define SL_CLI_INTERRUPT_H

/* From now on the first SIGINT or SIGTERM only sets the flag that is returned; the
 * second one ends the program. Writing to a closed pipe becomes EPIPE. */
const volatile int *cli_interrupt_install(void);

#endif
