/* report_private.h - what page.c and plot.c share. */
#ifndef SLR_REPORT_PRIVATE_H
#define SLR_REPORT_PRIVATE_H

#include "plot.h"

/* Write text (or nothing for NULL) so that it means itself in HTML and XML. */
void slr__text(FILE *out, const char *text);

#endif
