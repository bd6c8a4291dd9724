/* model_path.c - the build tree, an installation and a copied binary all work. */
#include "model_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "message.h"
#include "options.h"

/* Folder of the running program, without the slash; false where /proc is missing. */
static bool program_folder(char folder[CLI_PATH_MAX]) {
    const ssize_t n = readlink("/proc/self/exe", folder, CLI_PATH_MAX - 1);
    if (n <= 0) return false;
    folder[n] = '\0';
    char *slash = strrchr(folder, '/');
    if (!slash) return false;
    *slash = '\0';
    return true;
}

bool cli_user_path(char path[CLI_PATH_MAX], const char *variable, const char *fallback,
                   const char *name) {
    const char *base = getenv(variable);
    const char *home = getenv("HOME");
    int n = -1;
    if (base && base[0] == '/')
        n = snprintf(path, CLI_PATH_MAX, "%s/sluice/%s", base, name);
    else if (home && home[0])
        n = snprintf(path, CLI_PATH_MAX, "%s/%s/sluice/%s", home, fallback, name);
    return n > 0 && n < CLI_PATH_MAX;
}

void cli_make_folders(char *path) {
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0755);
        *slash = '/';
    }
}

bool cli_find_embedded_model(char path[CLI_PATH_MAX]) {
    static const char *const places[] = {
        ".", "models", "../models", "../../models", "../../../models", "../share/sluice"};
    char folder[CLI_PATH_MAX];
    if (program_folder(folder)) {
        for (int i = 0; i < CLI_COUNT(places); i++) {
            const int n =
                snprintf(path, CLI_PATH_MAX, "%s/%s/%s", folder, places[i], CLI_EMBEDDED_MODEL);
            if (n < CLI_PATH_MAX && access(path, R_OK) == 0) return true;
        }
    }
    if (cli_user_path(path, "XDG_DATA_HOME", ".local/share", CLI_EMBEDDED_MODEL) &&
        access(path, R_OK) == 0)
        return true;
    cli_complain("no model: expected -m FILE, or %s beside the program, in models/ or in "
                 "~/.local/share/sluice",
                 CLI_EMBEDDED_MODEL);
    return false;
}
