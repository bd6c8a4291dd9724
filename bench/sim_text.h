/* sim_text.h - whole files, compressed with gzip or not, as memory. */
#ifndef SIM_TEXT_H
#define SIM_TEXT_H

#include <stddef.h>

#include "sluice/status.h"

/* Read a file, through zlib if it is compressed. *text [*n] is NUL-terminated beyond n and
 * the caller's to free(). SL_E_IO or SL_E_NOMEM: *text = NULL. */
SL_MUST_USE sl_status sim_text_read(const char *path, char **text, size_t *n, sl_error *err);

#endif
