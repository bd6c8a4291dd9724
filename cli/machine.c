/* machine.c - read from /proc and /sys where there is one, unknown elsewhere. */
#include "machine.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_path.h"

/* First line of a small file, without its end; false if it cannot be read. */
static bool read_line(const char *path, char *line, size_t size) {
    FILE *f = fopen(path, "r");
    if (!f) return false;
    const bool ok = fgets(line, (int)size, f) != NULL;
    (void)fclose(f);
    if (ok) line[strcspn(line, "\n")] = '\0';
    return ok;
}

void cli_cpu_name(char *name, size_t size) {
    char line[512];
    (void)snprintf(name, size, "unknown CPU");
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f) return;
    while (fgets(line, (int)sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        colon += 1 + strspn(colon + 1, " \t");
        (void)snprintf(name, size, "%.*s", (int)strcspn(colon, "\n"), colon);
        break;
    }
    (void)fclose(f);
}

uint64_t cli_last_level_cache(void) {
    int64_t level_max = 0;
    uint64_t bytes = 0;
    for (int i = 0; i < 8; i++) {
        char path[128], line[64];
        const char *folder = "/sys/devices/system/cpu/cpu0/cache/index";
        (void)snprintf(path, sizeof path, "%s%d/level", folder, i);
        if (!read_line(path, line, sizeof line)) break;
        const int64_t level = strtoll(line, NULL, 10);
        (void)snprintf(path, sizeof path, "%s%d/size", folder, i);
        if (level < level_max || !read_line(path, line, sizeof line)) continue;
        char *unit;
        const uint64_t size = strtoull(line, &unit, 10);
        bytes = *unit == 'K' ? size << 10 : *unit == 'M' ? size << 20 : size;
        level_max = level;
    }
    return bytes;
}

/* ---- remembered bandwidth ---------------------------------------------------- */

static bool cache_path(char path[CLI_PATH_MAX]) {
    return cli_user_path(path, "XDG_CACHE_HOME", ".cache", "bandwidth.json");
}

static void cache_key(char *key, size_t size, int32_t threads) {
    char cpu[256];
    cli_cpu_name(cpu, sizeof cpu);
    (void)snprintf(key, size, "%s, threads: %d", cpu, (int)threads);
}

double cli_bandwidth_load(int32_t threads) {
    char path[CLI_PATH_MAX], key[320];
    if (!cache_path(path)) return 0;
    cache_key(key, sizeof key, threads);
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    const double value = json_number_value(json_object_get(root, key));
    json_decref(root);
    return value > 0 ? value : 0;
}

bool cli_bandwidth_store(int32_t threads, double bytes_per_second) {
    char path[CLI_PATH_MAX], fresh[CLI_PATH_MAX], key[320];
    if (!cache_path(path)) return false;
    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh) return false;
    cache_key(key, sizeof key, threads);
    cli_make_folders(path);

    json_t *root = json_load_file(path, 0, NULL);
    if (!json_is_object(root)) { /* missing or damaged: begin again */
        json_decref(root);
        root = json_object();
    }
    const bool written = root && json_object_set_new(root, key, json_real(bytes_per_second)) == 0 &&
                         json_dump_file(root, fresh, JSON_INDENT(2) | JSON_SORT_KEYS) == 0 &&
                         rename(fresh, path) == 0;
    json_decref(root);
    return written;
}
