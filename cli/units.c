/* units.c - three digits are enough for a reader. */
#include "units.h"

#include <stdio.h>

cli_bytes cli_bytes_text(double bytes) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    cli_bytes out;
    int unit = 0;
    for (; bytes >= 999.5 && unit < 4; unit++)
        bytes /= 1000;
    const int decimals = unit == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2;
    (void)snprintf(out.text, sizeof out.text, "%.*f %s", decimals, bytes, units[unit]);
    return out;
}
