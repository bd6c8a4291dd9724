/* test_memory.c - the memory available is the least that the machine and the control groups
 * around the process leave, told from files of /proc and /sys made up here. */
#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "runtime/memory.h"

enum { FILES = 8, PATH_SIZE = 256 };

typedef struct made_up {
    const char *path, *text;
} made_up;

/* "/a/b/c": makes /a and /a/b below root, or removes what is empty of them. */
static void each_folder(const char *root, const char *path, int (*act)(const char *)) {
    char folder[PATH_SIZE];
    (void)snprintf(folder, sizeof folder, "%s%s", root, path);
    if (act == rmdir) {
        for (char *slash; (slash = strrchr(folder, '/')) > folder + strlen(root);) {
            *slash = '\0';
            (void)act(folder); /* fails while others are in it */
        }
        return;
    }
    for (char *p = folder + strlen(root) + 1; (p = strchr(p, '/')) != NULL; *p++ = '/') {
        *p = '\0';
        (void)act(folder); /* fails if it is there */
    }
}

static int make_folder(const char *path) {
    return mkdir(path, 0700);
}

/* What is available where these files are, and no others. */
static uint64_t available(const made_up files[FILES]) {
    char root[] = "/tmp/sluice-memory-XXXXXX", path[PATH_SIZE];
    assert_non_null(mkdtemp(root));
    for (int i = 0; i < FILES && files[i].path; i++) {
        each_folder(root, files[i].path, make_folder);
        (void)snprintf(path, sizeof path, "%s%s", root, files[i].path);
        FILE *f = fopen(path, "w");
        CHECK_CASE(f != NULL, "%s", path);
        assert_true(fputs(files[i].text, f) >= 0);
        assert_int_equal(fclose(f), 0);
    }
    const uint64_t bytes = sl__memory_available_below(root);
    for (int i = 0; i < FILES && files[i].path; i++) {
        (void)snprintf(path, sizeof path, "%s%s", root, files[i].path);
        assert_int_equal(unlink(path), 0);
    }
    for (int i = 0; i < FILES && files[i].path; i++)
        each_folder(root, files[i].path, rmdir);
    assert_int_equal(rmdir(root), 0);
    return bytes;
}

#define MEMINFO                                                                                    \
    { "/proc/meminfo", "MemTotal: 4000 kB\nMemAvailable:   2000 kB\n" }
#define V2 "/sys/fs/cgroup"
#define V1 "/sys/fs/cgroup/memory"

/* Mutations: forget a group between the process's own and the root; take "max" for 0; count
 * pages of files as used; let a use beyond the limit wrap. */
static void the_least_that_anyone_leaves_is_available(void **state) {
    static const struct {
        const char *label;
        made_up files[FILES];
        uint64_t bytes;
    } rows[] = {
        {"nothing is known", {{NULL, NULL}}, UINT64_MAX},
        {"no groups", {MEMINFO}, 2000 * 1024},
        {"no limit",
         {MEMINFO,
          {"/proc/self/cgroup", "0::/a\n"},
          {V2 "/a/memory.max", "max\n"},
          {V2 "/a/memory.current", "5000\n"}},
         2000 * 1024},
        {"the process's own group",
         {MEMINFO,
          {"/proc/self/cgroup", "0::/a/b\n"},
          {V2 "/a/b/memory.max", "10000\n"},
          {V2 "/a/b/memory.current", "4000\n"}},
         6000},
        {"a group around it, less pages of files",
         {MEMINFO,
          {"/proc/self/cgroup", "0::/a/b\n"},
          {V2 "/a/memory.max", "10000\n"},
          {V2 "/a/memory.current", "9000\n"},
          {V2 "/a/memory.stat", "anon 1\ninactive_file 3000\nactive_file 500\n"},
          {V2 "/a/b/memory.max", "max\n"}},
         4500},
        {"a container's root",
         {MEMINFO,
          {"/proc/self/cgroup", "0::/not/seen/here\n"},
          {V2 "/memory.max", "10000\n"},
          {V2 "/memory.current", "9999\n"}},
         1},
        {"more used than allowed",
         {MEMINFO,
          {"/proc/self/cgroup", "0::/\n"},
          {V2 "/memory.max", "10000\n"},
          {V2 "/memory.current", "12000\n"}},
         0},
        {"version 1",
         {MEMINFO,
          {"/proc/self/cgroup", "4:cpu:/x\n3:memory:/a\n0::/\n"},
          {V1 "/a/memory.limit_in_bytes", "20000\n"},
          {V1 "/a/memory.usage_in_bytes", "15000\n"},
          {V1 "/a/memory.stat", "total_inactive_file 2000\ntotal_active_file 0\n"}},
         7000},
        {"version 1 without a limit",
         {MEMINFO,
          {"/proc/self/cgroup", "3:memory:/a\n"},
          {V1 "/a/memory.limit_in_bytes", "9223372036854771712\n"},
          {V1 "/a/memory.usage_in_bytes", "15000\n"}},
         2000 * 1024},
    };
    (void)state;
    for (size_t i = 0; i < SL_COUNT(rows); i++) {
        const uint64_t bytes = available(rows[i].files);
        CHECK_CASE(bytes == rows[i].bytes, "%s: %llu", rows[i].label, (unsigned long long)bytes);
    }
}

/* Mutations: compare the wrong way round; leave one of the numbers out of the message. */
static void too_much_is_refused_with_both_numbers(void **state) {
    sl__block block;
    sl_error err = {0};
    (void)state;
    assert_true(sl__memory_available() > 1 << 20);
    assert_int_equal(sl__memory_check(1 << 20, "it", &err), SL_OK);
    assert_int_equal(sl__memory_check((uint64_t)1 << 50, "it", &err), SL_E_NOMEM);
    assert_non_null(strstr(err.text, "it needs 1048576.00 GiB of memory, "));
    assert_non_null(strstr(err.text, " GiB are available"));
    assert_int_equal(sl__block_acquire(&block, (size_t)1 << 50, "it", &err), SL_E_NOMEM);
    assert_null(block.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_that_anyone_leaves_is_available),
        cmocka_unit_test(too_much_is_refused_with_both_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
