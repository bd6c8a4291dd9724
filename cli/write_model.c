/* write_model.c - see write_model.h. */
#include "write_model.h"

#include <stdio.h>
#include <sys/stat.h>

#include "interrupt.h"
#include "message.h"
#include "progress.h"
#include "units.h"

typedef struct write_state {
    cli_progress progress;
    const volatile int *cancel;
} write_state;

void cli_list_names(cli_choice choices[CLI_NAMES_MAX + 1], const char *(*name_of)(int32_t)) {
    int32_t n = 0;
    for (; n < CLI_NAMES_MAX && name_of(n); n++)
        choices[n] = (cli_choice){name_of(n), (int)n};
    choices[n] = (cli_choice){NULL, 0};
}

static int on_progress(void *user, uint64_t done, uint64_t total) {
    write_state *st = user;
    cli_progress_bytes(&st->progress, done, total);
    return *st->cancel;
}

int cli_write_model(const char *path, cli_model_writer *writer, const void *what) {
    sl_error err = {SL_OK, SL_NOWHERE, ""};
    write_state st = {.cancel = cli_interrupt_install()};
    cli_progress_begin(&st.progress, "writing");
    const sl_status status = writer(path, what, on_progress, &st, &err);
    cli_progress_end(&st.progress);
    if (status == SL_OK) {
        struct stat info;
        if (stat(path, &info) == 0)
            (void)printf("%s: %s\n", path, cli_bytes_text((double)info.st_size).text);
        return CLI_OK;
    }
    if (*st.cancel) {
        cli_complain("interrupted, %s was not written", path);
        return CLI_FAILED;
    }
    return cli_complain_status(NULL, status, &err);
}
