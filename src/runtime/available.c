/* available.c - how much memory this process may still take.
 *
 *     /proc/meminfo            MemAvailable: what the machine has without swapping
 *     /proc/self/cgroup        the groups this process is in, version 2 and version 1's memory
 *     /sys/fs/cgroup/...       limit and use of that group and of every one around it
 *
 * A group's use counts the pages of files it read, which go when others are needed: they
 * are added back. The smallest answer counts. */
#include "runtime/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 512 };

typedef struct group_files { /* what a version calls them */
    const char *mount;       /* below /sys/fs/cgroup */
    const char *limit, *used, *inactive, *active;
} group_files;

static const group_files version_1 = {"/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                      "total_inactive_file ", "total_active_file "};
static const group_files version_2 = {"", "memory.max", "memory.current", "inactive_file ",
                                      "active_file "};

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* The number after `key`, which begins a line of a small text file, or UINT64_MAX. */
static uint64_t number_in_file(const char *path, const char *key) {
    FILE *f = fopen(path, "re");
    if (!f) return UINT64_MAX;
    char line[256];
    uint64_t value = UINT64_MAX;
    const size_t key_length = strlen(key);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, key, key_length) == 0) {
            char *end;
            const char *digits = line + key_length + strspn(line + key_length, " \t");
            const unsigned long long n = strtoull(digits, &end, 10);
            if (end != digits) value = n; /* "max" is no number */
            break;
        }
    (void)fclose(f); /* read only: nothing can be lost */
    return value;
}

static uint64_t number_of_group(const char *group, const char *file, const char *key) {
    char path[PATH_SIZE + 64];
    (void)snprintf(path, sizeof path, "%s/%s", group, file);
    return number_in_file(path, key);
}

static uint64_t left_in_group(const group_files *v, const char *group) {
    const uint64_t limit = number_of_group(group, v->limit, "");
    uint64_t used = number_of_group(group, v->used, "");
    if (limit == UINT64_MAX || used == UINT64_MAX) return UINT64_MAX;
    const uint64_t pages[] = {number_of_group(group, "memory.stat", v->inactive),
                              number_of_group(group, "memory.stat", v->active)};
    for (int i = 0; i < 2; i++)
        if (pages[i] != UINT64_MAX) used -= smaller(used, pages[i]);
    return limit > used ? limit - used : 0;
}

/* The least left in the group at `path` and in those around it, up to the mount. Where a
 * container sees only its own part of the tree, `path` may not exist in it: then its
 * parents answer. */
static uint64_t left_in_groups(const char *root, const group_files *v, const char *path) {
    char group[PATH_SIZE];
    const int mount = snprintf(group, sizeof group, "%s/sys/fs/cgroup%s", root, v->mount);
    const int length = snprintf(group + mount, sizeof group - (size_t)mount, "%s", path);
    if (mount + length >= (int)sizeof group) return UINT64_MAX;
    uint64_t left = UINT64_MAX;
    for (;;) {
        left = smaller(left, left_in_group(v, group));
        char *slash = strrchr(group + mount, '/');
        if (!slash) return left;
        *slash = '\0';
    }
}

static uint64_t left_in_all_groups(const char *root) {
    char path[PATH_SIZE], line[PATH_SIZE];
    uint64_t left = UINT64_MAX;
    (void)snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    if (!f) return left;
    while (fgets(line, sizeof line, f)) { /* number:controllers:path */
        line[strcspn(line, "\n")] = '\0';
        const char *controllers = strchr(line, ':');
        const char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        if (strncmp(line, "0::", 3) == 0)
            left = smaller(left, left_in_groups(root, &version_2, group + 1));
        else if (strncmp(controllers, ":memory:", 8) == 0)
            left = smaller(left, left_in_groups(root, &version_1, group + 1));
    }
    (void)fclose(f);
    return left;
}

uint64_t sl__memory_available_below(const char *root) {
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/proc/meminfo", root);
    uint64_t available = number_in_file(path, "MemAvailable:");
    if (available != UINT64_MAX) available *= 1024;
    return smaller(available, left_in_all_groups(root));
}

uint64_t sl__memory_available(void) {
    return sl__memory_available_below("");
}

sl_status sl__memory_check(uint64_t bytes, const char *what, sl_error *err) {
    const uint64_t available = sl__memory_available();
    if (bytes <= available) return SL_OK;
    return sl__fail(err, SL_E_NOMEM, SL_NOWHERE,
                    "%s needs %.2f GiB of memory, %.2f GiB are available", what,
                    (double)bytes / 0x1p30, (double)available / 0x1p30);
}
