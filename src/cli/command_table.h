/*
 * The command line as tables: PROGRAM [options] VERB [options] [arguments]. The rows that take an argument vector apart are
 * the rows that --help prints. A verb is one struct cli_verb in a file of its own; the program lists pointers to them.
 *
 * Options of the program (config, cluster, log-level, quiet, json, help, version) may stand before and behind the verb, those
 * of a verb behind it. "--name value" and "--name=value" are the same; a value that begins with "--" needs the second form.
 * Names are written out: no abbreviations, no bundles of letters. "--" ends the options.
 */
#ifndef PGCAIRN_CLI_COMMAND_TABLE_H
#define PGCAIRN_CLI_COMMAND_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/scope.h"

enum cli_type {
	CLI_FLAG,     /* takes no value */
	CLI_STRING,   /* any text but the empty one */
	CLI_INT,      /* lo..hi; hi 0: no upper end */
	CLI_DURATION, /* 30s, 5min, 12h, 14d */
	CLI_WORD,     /* one of words */
};

struct cli_option {
	const char *name; /* without its dashes; NULL ends a table */
	char letter;      /* 0: none */
	enum cli_type type;
	bool repeatable;        /* else twice is an error */
	const char *value_name; /* as --help shows it; NULL: the words, or N, or TIME */
	const char *doc;
	uint64_t lo, hi;
	const char *const *words; /* ends with NULL */
};

struct cli_invocation;
typedef int cli_handler(struct cli_invocation *inv); /* gives the exit code */

struct cli_verb {
	const char *name;
	const char *summary;              /* one line */
	const char *details;              /* a paragraph for its own --help, or NULL */
	const struct cli_option *options; /* ends with a row without a name; NULL: none */
	const char *arguments;            /* as --help shows them: "SEGMENT [REASON]"; NULL: none */
	size_t min_arguments, max_arguments;
	bool resident; /* works for every cluster and starts its threads itself: it gets neither cluster nor pool */
	cli_handler *run;
};

struct cli_program {
	const char *name;
	const char *summary;
	const struct cli_option *options; /* usually cli_common_options */
	const struct cli_verb *const *verbs;
	size_t n_verbs;
};

extern const struct cli_option cli_common_options[];

/*
 * ERR_CONFIG with a hint when the vector is no command line of this program. argv[0] is not looked at; the strings are
 * borrowed for as long as the invocation lives. With --help or --version in it no verb, no argument is demanded.
 */
int cli_parse(struct cli_invocation **out, const struct cli_program *program, int argc, char *const *argv, struct err *err);
void cli_free(struct cli_invocation *inv); /* NULL is fine */

static inline void
scope_cli(struct cli_invocation **inv)
{
	cli_free(*inv);
}
#define CLI_AUTO SCOPE(scope_cli)

/* The vector that was parsed, argv[0] included: for who executes itself again. */
char *const *cli_vector(const struct cli_invocation *inv);

const struct cli_program *cli_program_of(const struct cli_invocation *inv);
const struct cli_verb *cli_verb_of(const struct cli_invocation *inv); /* NULL: none was given */

/* What the program's main hands to its verbs. */
void cli_set_context(struct cli_invocation *inv, void *context);
void *cli_context(const struct cli_invocation *inv);

/* To ask for a name that is in no row of program or verb is a bug, and aborts. */
bool cli_flag(const struct cli_invocation *inv, const char *name);         /* also: was it given at all? */
const char *cli_value(const struct cli_invocation *inv, const char *name); /* NULL: not given; the last one given */
uint64_t cli_int(const struct cli_invocation *inv, const char *name, uint64_t otherwise);
int64_t cli_duration_ms(const struct cli_invocation *inv, const char *name, int64_t otherwise);

/* One value after the other, in their order: size_t at = 0; while ((v = cli_values(inv, name, &at)) != NULL). */
const char *cli_values(const struct cli_invocation *inv, const char *name, size_t *at);

/* All of them into list, *n of them; ERR_CONFIG when there are more than CLI_LIST_MAX. */
#define CLI_LIST_MAX 64
int cli_list(const struct cli_invocation *inv, const char *name, const char *list[CLI_LIST_MAX], size_t *n, struct err *err);

size_t cli_n_arguments(const struct cli_invocation *inv);
const char *cli_argument(const struct cli_invocation *inv, size_t i); /* NULL behind the last */

/* What --help prints: for one verb, or with NULL for the program. At most 100 columns wide. */
int cli_help(const struct cli_program *program, const struct cli_verb *verb, struct buf *out, struct err *err);

#endif
