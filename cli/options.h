/* options.h - a command's options as a table that parses and documents itself.
 *
 *     const cli_option options[] = {
 *         CLI_INT("-n --predict", "N", &n, 0, 100, "tokens to generate"),
 *         CLI_FLAG("--json", &json, "for programs"),
 *     };
 *     int exit_code;
 *     if (!cli_parse(self, options, CLI_COUNT(options), argc, argv, &exit_code))
 *         return exit_code;
 *
 * A target holds the default before parsing and the value afterwards; --help shows the
 * default from there. Accepted: "--flag value", "--flag=value", "-f value", and "--"
 * before a positional argument that looks like an option. -h, --help and --version
 * belong to every command. The last of several equal options wins. */
#ifndef SL_CLI_OPTIONS_H
#define SL_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd.h"

#define CLI_COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define CLI_LIST_MAX 16

typedef enum cli_kind {
    CLI_KIND_HEADING, /* help only: names is a group's title             */
    CLI_KIND_FLAG,    /* bool: present or not                            */
    CLI_KIND_INT,     /* int32_t in min .. max                           */
    CLI_KIND_INT64,   /* int64_t in min .. max                           */
    CLI_KIND_FLOAT,   /* float in min .. max, or above min if above_min  */
    CLI_KIND_TEXT,    /* const char *                                    */
    CLI_KIND_LIST,    /* cli_list: may be given up to CLI_LIST_MAX times */
    CLI_KIND_CHOICE,  /* int: the value of one of choices                */
    CLI_KIND_CUSTOM   /* anything: parse() says what it accepts          */
} cli_kind;

typedef struct cli_list {
    const char *items[CLI_LIST_MAX];
    int32_t n;
} cli_list;

typedef struct cli_choice {
    const char *name;
    int value;
} cli_choice;

/* NULL if value was accepted and written to target, else what was expected. */
typedef const char *(*cli_parser)(const char *value, void *target);

typedef struct cli_option {
    cli_kind kind;
    const char *names; /* spellings separated by blanks; NULL: the positional argument */
    const char *value; /* placeholder in help; NULL for flags                          */
    void *target;
    const char *help; /* may have several lines                                        */
    double min, max;
    bool above_min;
    const cli_choice *choices; /* ends with a NULL name */
    cli_parser parse;
} cli_option;

/* Rows of a table. */
#define CLI_HEADING(title)                                                                         \
    { .kind = CLI_KIND_HEADING, .names = (title) }
#define CLI_FLAG(spelled, to, text)                                                                \
    { .kind = CLI_KIND_FLAG, .names = (spelled), .target = (to), .help = (text) }
#define CLI_ROW(kind_of, spelled, holder, to, text)                                                \
    .kind = (kind_of), .names = (spelled), .value = (holder), .target = (to), .help = (text)
#define CLI_TEXT(spelled, holder, to, text)                                                        \
    { CLI_ROW(CLI_KIND_TEXT, spelled, holder, to, text) }
#define CLI_LIST(spelled, holder, to, text)                                                        \
    { CLI_ROW(CLI_KIND_LIST, spelled, holder, to, text) }
#define CLI_INT(spelled, holder, to, least, most, text)                                            \
    { CLI_ROW(CLI_KIND_INT, spelled, holder, to, text), .min = (least), .max = (most) }
#define CLI_INT64(spelled, holder, to, least, most, text)                                          \
    { CLI_ROW(CLI_KIND_INT64, spelled, holder, to, text), .min = (least), .max = (most) }
#define CLI_FLOAT(spelled, holder, to, least, most, text)                                          \
    { CLI_ROW(CLI_KIND_FLOAT, spelled, holder, to, text), .min = (least), .max = (most) }
#define CLI_FLOAT_ABOVE(spelled, holder, to, bound, most, text)                                    \
    {                                                                                              \
        CLI_ROW(CLI_KIND_FLOAT, spelled, holder, to, text), .min = (bound), .max = (most),         \
                                                            .above_min = true                      \
    }
#define CLI_CHOICE(spelled, holder, to, among, text)                                               \
    { CLI_ROW(CLI_KIND_CHOICE, spelled, holder, to, text), .choices = (among) }
#define CLI_CUSTOM(spelled, holder, to, parser, text)                                              \
    { CLI_ROW(CLI_KIND_CUSTOM, spelled, holder, to, text), .parse = (parser) }

/* Parse argv[1 ..]. True: go on. False: help was asked for and printed, or the command
 * line is wrong and one line on stderr says where; return *exit_code. */
bool cli_parse(const cli_command *cmd, const cli_option *options, int n_options, int argc,
               char **argv, int *exit_code);

/* Whole text as a number; false if it is none, or does not fit the type. */
bool cli_parse_int64(const char *text, int64_t *out);
bool cli_parse_double(const char *text, double *out);

/* The candidate nearest to a misspelled name, or NULL if none is near. Candidates are
 * the blank-separated words of list; *n is the length of the answer. */
const char *cli_nearest(const char *name, size_t length, const char *list, size_t *n,
                        size_t *distance);

#endif
