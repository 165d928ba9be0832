/* An argument vector against the tables; see command_table.h. Each option given is kept in order, with its row. */
#include "cli/command_table.h"

#include <inttypes.h>
#include <string.h>

#include "base/scope.h"
#include "base/str.h"
#include "config/suggest.h"

struct given {
	const struct cli_option *option;
	const char *value; /* "" of a flag */
};

struct cli_invocation {
	const struct cli_program *program;
	char *const *vector;
	const struct cli_verb *verb;
	void *context;
	struct given *given; /* room for one each word of the vector */
	size_t n_given;
	const char **arguments;
	size_t n_arguments;
};

/* The vector while it is walked. */
struct words {
	char *const *at;
	size_t left;
};

static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};

const struct cli_option cli_common_options[] = {
    {"config", .type = CLI_STRING, .value_name = "FILE",
	.doc = "the configuration; default $PGCAIRN_CONFIG, then pgcairn.conf in the system's configuration directory"},
    {"cluster", .type = CLI_STRING, .value_name = "NAME", .doc = "which cluster, where the configuration has several"},
    {"log-level", .type = CLI_WORD, .words = log_levels, .doc = "the most talkative level that is logged"},
    {"quiet", .doc = "log errors only, show no progress"},
    {"json", .doc = "print results as JSON"},
    {"help", 'h', .doc = "print this, or the help of a verb"},
    {"version", .doc = "print the version"},
    {NULL},
};

static const struct cli_option *
find_long(const struct cli_option *rows, const char *name, size_t len)
{
	for (; rows != NULL && rows->name != NULL; rows++)
		if (strlen(rows->name) == len && memcmp(rows->name, name, len) == 0)
			return rows;
	return NULL;
}

static const struct cli_option *
find_letter(const struct cli_option *rows, char letter)
{
	for (; rows != NULL && rows->name != NULL; rows++)
		if (rows->letter == letter)
			return rows;
	return NULL;
}

static void
offer_all(struct suggest *s, const struct cli_option *rows)
{
	for (; rows != NULL && rows->name != NULL; rows++)
		suggest_offer(s, rows->name);
}

static const struct cli_option *
verb_options(const struct cli_invocation *inv)
{
	return inv->verb != NULL ? inv->verb->options : NULL;
}

static int
unknown_option(const struct cli_invocation *inv, const char *name, size_t len, struct err *err)
{
	const struct cli_program *p = inv->program;
	char word[SUGGEST_WORD_MAX + 2];
	struct suggest s;

	(void)snprintf(word, sizeof(word), "%.*s", (int)(len < sizeof(word) ? len : sizeof(word)), name);
	if (inv->verb != NULL)
		err_set(err, ERR_CONFIG, 0, "%s has no option --%s", inv->verb->name, word);
	else
		err_set(err, ERR_CONFIG, 0, "unknown option --%s", word);
	s = suggest_for(word);
	offer_all(&s, verb_options(inv));
	offer_all(&s, p->options);
	if (suggest_best(&s) != NULL)
		return err_hint(err, "did you mean --%s?", suggest_best(&s));
	for (size_t i = 0; inv->verb == NULL && i < p->n_verbs; i++)
		if (find_long(p->verbs[i]->options, name, len) != NULL)
			return err_hint(err, "it is an option of %s and stands behind that", p->verbs[i]->name);
	if (inv->verb != NULL)
		return err_hint(err, "%s %s --help lists what there is", p->name, inv->verb->name);
	return err_hint(err, "%s --help lists what there is", p->name);
}

static int
check_int(const struct cli_option *o, const char *value, struct err *err)
{
	uint64_t v;

	if (str_to_u64(value, o->lo, o->hi != 0 ? o->hi : UINT64_MAX, &v))
		return 0;
	err_set(err, ERR_CONFIG, 0, "--%s: '%.100s' is not a number that fits", o->name, value);
	if (o->hi == 0)
		return err_hint(err, "a whole number from %" PRIu64, o->lo);
	return err_hint(err, "a whole number from %" PRIu64 " to %" PRIu64, o->lo, o->hi);
}

static int
check_word(const struct cli_option *o, const char *value, struct err *err)
{
	struct suggest s = suggest_for(value);

	for (size_t i = 0; o->words[i] != NULL; i++) {
		if (strcmp(o->words[i], value) == 0)
			return 0;
		suggest_offer(&s, o->words[i]);
	}
	err_set(err, ERR_CONFIG, 0, "--%s: '%.100s' is none of its words", o->name, value);
	if (suggest_best(&s) != NULL)
		return err_hint(err, "did you mean '%s'?", suggest_best(&s));
	return err_hint(err, "--help lists them");
}

static int
check_value(const struct cli_option *o, const char *value, struct err *err)
{
	int64_t ms;

	if (*value == '\0') {
		err_set(err, ERR_CONFIG, 0, "--%s: the value is empty", o->name);
		return err_hint(err, "an unset variable in a script?");
	}
	switch (o->type) {
	case CLI_FLAG:
	case CLI_STRING:
		return 0;
	case CLI_INT:
		return check_int(o, value, err);
	case CLI_DURATION:
		if (str_to_duration_ms(value, &ms))
			return 0;
		err_set(err, ERR_CONFIG, 0, "--%s: '%.100s' is not a duration", o->name, value);
		return err_hint(err, "a number with ms, s, min, h, d or w: 90s");
	case CLI_WORD:
		return check_word(o, value, err);
	}
	return err_set(err, ERR_BUG, 0, "--%s has no type", o->name);
}

/* value: what stood behind '=', or NULL. Takes the next word where one is needed. */
static int
take_option(struct cli_invocation *inv, const struct cli_option *o, const char *value, struct words *w, struct err *err)
{
	int rc;

	for (size_t i = 0; !o->repeatable && i < inv->n_given; i++)
		if (inv->given[i].option == o)
			return err_set(err, ERR_CONFIG, 0, "--%s is given twice", o->name);
	if (o->type == CLI_FLAG && value != NULL)
		return err_set(err, ERR_CONFIG, 0, "--%s takes no value", o->name);
	if (o->type != CLI_FLAG && value == NULL) {
		if (w->left == 0 || str_starts(*w->at, "--")) {
			err_set(err, ERR_CONFIG, 0, "--%s needs a value", o->name);
			return err_hint(err, "--%s=VALUE", o->name);
		}
		value = *w->at++;
		w->left--;
	}
	rc = o->type == CLI_FLAG ? 0 : check_value(o, value, err);
	if (rc == 0)
		inv->given[inv->n_given++] = (struct given){o, value != NULL ? value : ""};
	return rc;
}

static int
take_long(struct cli_invocation *inv, const char *name, struct words *w, struct err *err)
{
	size_t len = strcspn(name, "=");
	const struct cli_option *o = find_long(verb_options(inv), name, len);

	if (o == NULL)
		o = find_long(inv->program->options, name, len);
	if (o == NULL)
		return unknown_option(inv, name, len, err);
	return take_option(inv, o, name[len] == '=' ? name + len + 1 : NULL, w, err);
}

static int
take_letter(struct cli_invocation *inv, const char *word, struct words *w, struct err *err)
{
	const struct cli_option *o = NULL;

	if (word[2] == '\0') {
		o = find_letter(verb_options(inv), word[1]);
		if (o == NULL)
			o = find_letter(inv->program->options, word[1]);
	}
	if (o != NULL)
		return take_option(inv, o, NULL, w, err);
	err_set(err, ERR_CONFIG, 0, "unknown option %.100s", word);
	return err_hint(err, "long options begin with two dashes; an argument that begins with one stands behind --");
}

static int
take_verb(struct cli_invocation *inv, const char *word, struct err *err)
{
	const struct cli_program *p = inv->program;
	struct suggest s = suggest_for(word);

	for (size_t i = 0; i < p->n_verbs; i++) {
		if (strcmp(p->verbs[i]->name, word) == 0) {
			inv->verb = p->verbs[i];
			return 0;
		}
		suggest_offer(&s, p->verbs[i]->name);
	}
	err_set(err, ERR_CONFIG, 0, "unknown verb '%.100s'", word);
	if (suggest_best(&s) != NULL)
		return err_hint(err, "did you mean '%s'?", suggest_best(&s));
	return err_hint(err, "%s --help lists them", p->name);
}

static bool
asks_for_help(const struct cli_invocation *inv)
{
	for (size_t i = 0; i < inv->n_given; i++)
		if (strcmp(inv->given[i].option->name, "help") == 0 || strcmp(inv->given[i].option->name, "version") == 0)
			return true;
	return false;
}

static int
check_arguments(const struct cli_invocation *inv, struct err *err)
{
	const struct cli_program *p = inv->program;
	const struct cli_verb *v = inv->verb;

	if (asks_for_help(inv))
		return 0;
	if (v == NULL) {
		err_set(err, ERR_CONFIG, 0, "no verb is given");
		return err_hint(err, "%s --help lists them", p->name);
	}
	if (inv->n_arguments > v->max_arguments)
		err_set(err, ERR_CONFIG, 0, "%s: one argument too many: '%.100s'", v->name, inv->arguments[v->max_arguments]);
	else if (inv->n_arguments < v->min_arguments)
		err_set(err, ERR_CONFIG, 0, "%s: an argument is missing", v->name);
	else
		return 0;
	if (v->arguments == NULL)
		return err_hint(err, "it takes options only");
	return err_hint(err, "%s %s [options] %s", p->name, v->name, v->arguments);
}

static int
take_words(struct cli_invocation *inv, struct words *w, struct err *err)
{
	bool options_end = false;
	int rc = 0;

	while (rc == 0 && w->left > 0) {
		const char *word = *w->at++;

		w->left--;
		if (!options_end && strcmp(word, "--") == 0)
			options_end = true;
		else if (!options_end && str_starts(word, "--"))
			rc = take_long(inv, word + 2, w, err);
		else if (!options_end && word[0] == '-' && word[1] != '\0')
			rc = take_letter(inv, word, w, err);
		else if (inv->verb == NULL)
			rc = take_verb(inv, word, err);
		else
			inv->arguments[inv->n_arguments++] = word;
	}
	return rc < 0 ? rc : check_arguments(inv, err);
}

int
cli_parse(struct cli_invocation **out, const struct cli_program *program, int argc, char *const *argv, struct err *err)
{
	struct words w = {argv + 1, argc > 0 ? (size_t)argc - 1 : 0};
	struct cli_invocation *inv = calloc(1, sizeof(*inv));
	struct err unwanted;
	int rc;

	if (err == NULL)
		err = &unwanted;
	if (inv != NULL) {
		inv->program = program;
		inv->vector = argv;
		inv->given = calloc(w.left + 1, sizeof(*inv->given));
		inv->arguments = calloc(w.left + 1, sizeof(*inv->arguments));
	}
	if (inv == NULL || inv->given == NULL || inv->arguments == NULL)
		rc = err_set(err, ERR_NOMEM, 0, "out of memory for the command line");
	else
		rc = take_words(inv, &w, err);
	if (rc < 0) {
		cli_free(inv);
		return rc;
	}
	*out = inv;
	return 0;
}

void
cli_free(struct cli_invocation *inv)
{
	if (inv == NULL)
		return;
	free(inv->given);
	free(inv->arguments);
	free(inv);
}

char *const *
cli_vector(const struct cli_invocation *inv)
{
	return inv->vector;
}

const struct cli_program *
cli_program_of(const struct cli_invocation *inv)
{
	return inv->program;
}

const struct cli_verb *
cli_verb_of(const struct cli_invocation *inv)
{
	return inv->verb;
}

void
cli_set_context(struct cli_invocation *inv, void *context)
{
	inv->context = context;
}

void *
cli_context(const struct cli_invocation *inv)
{
	return inv->context;
}

static bool
is_known(const struct cli_invocation *inv, const char *name)
{
	size_t len = strlen(name);

	return find_long(verb_options(inv), name, len) != NULL || find_long(inv->program->options, name, len) != NULL;
}

const char *
cli_values(const struct cli_invocation *inv, const char *name, size_t *at)
{
	if (!is_known(inv, name))
		abort(); /* our bug, in every build: a mistyped "dry-run" must not read as "not given" */
	while (*at < inv->n_given) {
		const struct given *g = &inv->given[(*at)++];

		if (strcmp(g->option->name, name) == 0)
			return g->value;
	}
	return NULL;
}

int
cli_list(const struct cli_invocation *inv, const char *name, const char *list[CLI_LIST_MAX], size_t *n, struct err *err)
{
	const char *v;

	*n = 0;
	for (size_t at = 0; (v = cli_values(inv, name, &at)) != NULL;) {
		if (*n == CLI_LIST_MAX)
			return err_set(err, ERR_CONFIG, 0, "--%s is given more than %d times", name, CLI_LIST_MAX);
		list[(*n)++] = v;
	}
	return 0;
}

const char *
cli_value(const struct cli_invocation *inv, const char *name)
{
	const char *v, *last = NULL;
	size_t at = 0;

	while ((v = cli_values(inv, name, &at)) != NULL)
		last = v;
	return last;
}

bool
cli_flag(const struct cli_invocation *inv, const char *name)
{
	return cli_value(inv, name) != NULL;
}

uint64_t
cli_int(const struct cli_invocation *inv, const char *name, uint64_t otherwise)
{
	const char *text = cli_value(inv, name);
	uint64_t v;

	return text != NULL && str_to_u64(text, 0, UINT64_MAX, &v) ? v : otherwise;
}

int64_t
cli_duration_ms(const struct cli_invocation *inv, const char *name, int64_t otherwise)
{
	const char *text = cli_value(inv, name);
	int64_t v;

	return text != NULL && str_to_duration_ms(text, &v) ? v : otherwise;
}

size_t
cli_n_arguments(const struct cli_invocation *inv)
{
	return inv->n_arguments;
}

const char *
cli_argument(const struct cli_invocation *inv, size_t i)
{
	return i < inv->n_arguments ? inv->arguments[i] : NULL;
}
