/* fuzz_main.c - runs a fuzz target over the files and folders named, each file once. */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

static int run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return -1;
    }
    uint8_t *bytes = NULL;
    long size = -1;
    if (fseek(file, 0, SEEK_END) == 0) size = ftell(file);
    if (size >= 0 && fseek(file, 0, SEEK_SET) == 0) bytes = malloc(size > 0 ? (size_t)size : 1);
    const int ok = bytes && fread(bytes, 1, (size_t)size, file) == (size_t)size;
    (void)fclose(file);
    if (ok)
        (void)LLVMFuzzerTestOneInput(bytes, (size_t)size);
    else
        (void)fprintf(stderr, "%s: cannot be read\n", path);
    free(bytes);
    return ok ? 1 : -1;
}

/* Files run, or -1. */
static int run_folder(const char *path) {
    int count = 0;
    DIR *folder = opendir(path);
    if (!folder) {
        perror(path);
        return -1;
    }
    for (const struct dirent *entry = readdir(folder); entry && count >= 0;
         entry = readdir(folder)) {
        char full[4096];
        if (entry->d_name[0] == '.') continue;
        (void)snprintf(full, sizeof full, "%s/%s", path, entry->d_name);
        count = run_file(full) < 0 ? -1 : count + 1;
    }
    (void)closedir(folder);
    return count;
}

int main(int argc, char **argv) {
    int count = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) != 0) {
            perror(argv[i]);
            return 1;
        }
        const int ran = S_ISDIR(st.st_mode) ? run_folder(argv[i]) : run_file(argv[i]);
        if (ran < 0) return 1;
        count += ran;
    }
    (void)printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
