/* trace_page.h - a trace as an HTML page with plots over its tokens. */
#ifndef SL_CLI_TRACE_PAGE_H
#define SL_CLI_TRACE_PAGE_H

#include <stdio.h>

#include "trace_read.h"

/* CLI_OK, or CLI_FAILED after one line on stderr: no memory. Look at ferror(out) too. */
int cli_trace_page(FILE *out, const cli_trace *trace);

#endif
