/* units.h - numbers with the unit that suits them. */
#ifndef SL_CLI_UNITS_H
#define SL_CLI_UNITS_H

typedef struct cli_bytes {
    char text[24];
} cli_bytes;

/* "812 B", "6.55 MB", "31.9 GB": decimal, as memory bandwidth is. Use as
 * cli_bytes_text(n).text inside one expression. */
cli_bytes cli_bytes_text(double bytes);

#endif
