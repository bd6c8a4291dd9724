/* options.c - walk argv once; every complaint names flag, value and expectation. */
#include "options.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "sluice/status.h"

/* ---- numbers ------------------------------------------------------------- */

/* strtoll() and strtod() accept leading blanks and, for doubles, hexadecimal and
 * "nan"; nobody means those on a command line. */
static bool starts_a_number(const char *text) {
    if (*text == '-' || *text == '+') text++;
    if (*text == '.') text++;
    return *text >= '0' && *text <= '9' && text[1] != 'x' && text[1] != 'X';
}

bool cli_parse_int64(const char *text, int64_t *out) {
    char *end;
    if (!starts_a_number(text)) return false;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    *out = value;
    return errno == 0 && *end == '\0';
}

bool cli_parse_double(const char *text, double *out) {
    char *end;
    if (!starts_a_number(text)) return false;
    errno = 0;
    *out = strtod(text, &end);
    return *end == '\0' && fabs(*out) <= DBL_MAX;
}

/* ---- words ---------------------------------------------------------------- */

/* Next blank-separated word at or after text, or NULL. */
static const char *next_word(const char *text, size_t *n) {
    text += strspn(text, " ");
    *n = strcspn(text, " ");
    return *n > 0 ? text : NULL;
}

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Levenshtein distance; words longer than the row are simply far from everything. */
static size_t edit_distance(const char *a, size_t n_a, const char *b, size_t n_b) {
    enum { WORD_MAX = 48 };
    size_t row[WORD_MAX + 1];
    if (n_a > WORD_MAX || n_b > WORD_MAX) return SIZE_MAX;
    for (size_t j = 0; j <= n_b; j++)
        row[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            const size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = min_size(change, 1 + min_size(row[j], row[j - 1]));
        }
    }
    return row[n_b];
}

const char *cli_nearest(const char *name, size_t length, const char *list, size_t *n,
                        size_t *distance) {
    const char *best = NULL;
    size_t n_word;
    *distance = SIZE_MAX;
    for (const char *word = list; (word = next_word(word, &n_word)) != NULL; word += n_word) {
        const size_t d = edit_distance(name, length, word, n_word);
        if (d > 2 || d >= n_word || d >= *distance) continue;
        best = word;
        *n = n_word;
        *distance = d;
    }
    return best;
}

/* ---- lookup ---------------------------------------------------------------- */

static const cli_option *find_option(const cli_option *options, int n_options, const char *name,
                                     size_t length) {
    for (int i = 0; i < n_options; i++) {
        if (options[i].kind == CLI_KIND_HEADING || !options[i].names) continue;
        size_t n;
        for (const char *w = options[i].names; (w = next_word(w, &n)) != NULL; w += n)
            if (n == length && memcmp(w, name, n) == 0) return &options[i];
    }
    return NULL;
}

static const cli_option *find_positional(const cli_option *options, int n_options) {
    for (int i = 0; i < n_options; i++)
        if (!options[i].names) return &options[i];
    return NULL;
}

static void complain_unknown(const cli_command *cmd, const cli_option *options, int n_options,
                             const char *name, size_t length) {
    const char *best = NULL;
    size_t n_best = 0, nearest = SIZE_MAX;
    for (int i = 0; i < n_options; i++) {
        size_t n, distance;
        if (options[i].kind == CLI_KIND_HEADING || !options[i].names) continue;
        const char *word = cli_nearest(name, length, options[i].names, &n, &distance);
        if (!word || distance >= nearest) continue;
        best = word;
        n_best = n;
        nearest = distance;
    }
    if (best)
        cli_complain("unknown option %.*s; did you mean %.*s?", (int)length, name, (int)n_best,
                     best);
    else
        cli_complain("unknown option %.*s; 'sluice %s --help' lists what there is", (int)length,
                     name, cmd->name);
}

/* ---- values ------------------------------------------------------------------ */

static bool set_number(const cli_option *o, const char *flag, const char *value) {
    const bool whole = o->kind != CLI_KIND_FLOAT;
    const char *noun = whole ? "a whole number" : "a number";
    int64_t integer = 0;
    double number = 0;
    bool fits = whole ? cli_parse_int64(value, &integer) : cli_parse_double(value, &number);
    if (whole) number = (double)integer;

    fits = fits && number >= o->min && number <= o->max && !(o->above_min && number == o->min);
    if (!fits) {
        if (o->above_min)
            cli_complain("%s %s: expected %s above %.10g and at most %.10g", flag, value, noun,
                         o->min, o->max);
        else if (o->max > INT32_MAX)
            cli_complain("%s %s: expected %s, %.10g or more", flag, value, noun, o->min);
        else
            cli_complain("%s %s: expected %s in %.10g .. %.10g", flag, value, noun, o->min, o->max);
        return false;
    }
    if (o->kind == CLI_KIND_INT) *(int32_t *)o->target = (int32_t)integer;
    if (o->kind == CLI_KIND_INT64) *(int64_t *)o->target = integer;
    if (o->kind == CLI_KIND_FLOAT) *(float *)o->target = (float)number;
    return true;
}

/* "f16, f32 or bf16" */
static void list_choices(const cli_choice *choices, char *list, size_t size) {
    size_t used = 0;
    list[0] = '\0';
    for (const cli_choice *c = choices; c->name; c++) {
        const char *comma = c == choices ? "" : c[1].name ? ", " : " or ";
        const int n = snprintf(list + used, size - used, "%s%s", comma, c->name);
        used = min_size(used + (size_t)n, size - 1);
    }
}

static bool set_choice(const cli_option *o, const char *flag, const char *value) {
    for (const cli_choice *c = o->choices; c->name; c++) {
        if (strcmp(c->name, value) != 0) continue;
        *(int *)o->target = c->value;
        return true;
    }
    char list[512];
    list_choices(o->choices, list, sizeof list);
    cli_complain("%s %s: expected %s", flag, value, list);
    return false;
}

static bool set_value(const cli_option *o, const char *flag, const char *value) {
    switch (o->kind) {
    case CLI_KIND_INT:
    case CLI_KIND_INT64:
    case CLI_KIND_FLOAT:
        return set_number(o, flag, value);
    case CLI_KIND_CHOICE:
        return set_choice(o, flag, value);
    case CLI_KIND_TEXT:
        *(const char **)o->target = value;
        return true;
    case CLI_KIND_LIST: {
        cli_list *list = o->target;
        if (list->n == CLI_LIST_MAX) {
            cli_complain("%s: may be given at most %d times", flag, CLI_LIST_MAX);
            return false;
        }
        list->items[list->n++] = value;
        return true;
    }
    case CLI_KIND_CUSTOM: {
        const char *expected = o->parse(value, o->target);
        if (expected) cli_complain("%s %s: expected %s", flag, value, expected);
        return !expected;
    }
    case CLI_KIND_FLAG:
    case CLI_KIND_HEADING:
        break;
    }
    return false;
}

/* ---- help ---------------------------------------------------------------------- */

enum { HELP_INDENT = 30, HELP_WIDTH = 90 };

/* Long lists go on below the text, as many names to a line as fit. */
static void print_choices(const cli_option *o) {
    char list[512];
    list_choices(o->choices, list, sizeof list);
    const bool below = strlen(list) > HELP_WIDTH - HELP_INDENT;
    int column = HELP_INDENT;
    if (below)
        (void)printf(":\n%*s", HELP_INDENT, "");
    else
        (void)printf(": ");
    for (const char *name = list; *name;) {
        const size_t n = strcspn(name, " ") + (strchr(name, ' ') != NULL); /* with its blank */
        if (below && column + (int)n > HELP_WIDTH) {
            (void)printf("\n%*s", HELP_INDENT, "");
            column = HELP_INDENT;
        }
        column += printf("%.*s", (int)n, name);
        name += n;
    }
    for (const cli_choice *c = o->choices; c->name; c++) {
        if (c->value != *(const int *)o->target) continue;
        (void)printf(" (default %s)", c->name);
        break;
    }
}

/* What follows an option's help text: choices, and the default where there is one. */
static void print_values(const cli_option *o) {
    if (o->kind == CLI_KIND_CHOICE) print_choices(o);
    if (o->kind == CLI_KIND_INT) (void)printf(" (default %d)", (int)*(const int32_t *)o->target);
    if (o->kind == CLI_KIND_INT64)
        (void)printf(" (default %lld)", (long long)*(const int64_t *)o->target);
    if (o->kind == CLI_KIND_FLOAT) (void)printf(" (default %g)", (double)*(const float *)o->target);
}

static void print_option(const cli_option *o) {
    int column = printf("  ");
    size_t n;
    if (!o->names) column += printf("%s", o->value);
    if (o->names)
        for (const char *w = o->names; (w = next_word(w, &n)) != NULL; w += n)
            column += printf("%s%.*s", w == o->names ? "" : ", ", (int)n, w);
    if (o->names && o->value) column += printf(" %s", o->value);
    if (column > HELP_INDENT - 2) {
        (void)putchar('\n');
        column = 0;
    }
    for (const char *line = o->help; *line; line += n) {
        n = strcspn(line, "\n");
        (void)printf("%*s%.*s", HELP_INDENT - column, "", (int)n, line);
        column = 0;
        if (line[n] == '\n') {
            (void)putchar('\n');
            n++;
        }
    }
    print_values(o);
    (void)putchar('\n');
}

static void print_help(const cli_command *cmd, const cli_option *options, int n_options) {
    static const cli_option everywhere[] = {
        CLI_FLAG("-h --help", NULL, "show this text"),
        CLI_FLAG("--version", NULL, "show the version"),
    };
    (void)printf("usage: sluice %s %s\n%s.\n\n", cmd->name, cmd->synopsis, cmd->summary);
    for (int i = 0; i < n_options; i++) {
        if (options[i].kind == CLI_KIND_HEADING)
            (void)printf("%s%s:\n", i ? "\n" : "", options[i].names);
        else
            print_option(&options[i]);
    }
    (void)putchar('\n');
    for (int i = 0; i < CLI_COUNT(everywhere); i++)
        print_option(&everywhere[i]);
    if (cmd->notes) (void)printf("\n%s\n", cmd->notes);
}

/* ---- argv ------------------------------------------------------------------------ */

static bool parse_positional(const cli_command *cmd, const cli_option *options, int n_options,
                             const char *value, bool *taken) {
    const cli_option *o = find_positional(options, n_options);
    if (!o || *taken) {
        cli_complain("unexpected argument '%s'; 'sluice %s --help' shows the usage", value,
                     cmd->name);
        return false;
    }
    *taken = true;
    return set_value(o, o->value, value);
}

/* Parse the option at argv[*i] and step over what it consumes. */
static bool parse_option(const cli_command *cmd, const cli_option *options, int n_options, int argc,
                         char **argv, int *i) {
    const char *arg = argv[*i];
    const char *equals = arg[1] == '-' ? strchr(arg, '=') : NULL;
    const size_t length = equals ? (size_t)(equals - arg) : strlen(arg);
    const cli_option *o = find_option(options, n_options, arg, length);
    char flag[64];

    ++*i;
    if (!o) {
        complain_unknown(cmd, options, n_options, arg, length);
        return false;
    }
    (void)snprintf(flag, sizeof flag, "%.*s", (int)length, arg);
    if (o->kind == CLI_KIND_FLAG) {
        if (equals) cli_complain("%s: expected no value, it has '%s'", flag, equals + 1);
        *(bool *)o->target = true;
        return !equals;
    }
    if (equals) return set_value(o, flag, equals + 1);

    const char *value = *i < argc ? argv[*i] : NULL;
    if (!value) {
        cli_complain("%s: expected %s after it", flag, o->value);
        return false;
    }
    if (find_option(options, n_options, value, strlen(value))) {
        cli_complain("%s: expected %s after it, found the option %s", flag, o->value, value);
        return false;
    }
    ++*i;
    return set_value(o, flag, value);
}

bool cli_parse(const cli_command *cmd, const cli_option *options, int n_options, int argc,
               char **argv, int *exit_code) {
    bool only_positional = false, positional_taken = false;
    *exit_code = CLI_OK;
    for (int i = 1; i < argc;) {
        const char *arg = argv[i];
        if (!only_positional && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
            print_help(cmd, options, n_options);
            return false;
        }
        if (!only_positional && strcmp(arg, "--version") == 0) {
            (void)printf("sluice %s\n", sl_version());
            return false;
        }
        bool ok = true;
        if (!only_positional && strcmp(arg, "--") == 0) {
            only_positional = true;
            i++;
        } else if (!only_positional && arg[0] == '-' && arg[1] != '\0') {
            ok = parse_option(cmd, options, n_options, argc, argv, &i);
        } else {
            ok = parse_positional(cmd, options, n_options, arg, &positional_taken);
            i++;
        }
        if (!ok) {
            *exit_code = CLI_USAGE;
            return false;
        }
    }
    return true;
}
