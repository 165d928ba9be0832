/*
 * When a segment counts as archived. No active repository at all never counts, whatever the mode: "all of none" must not
 * make PostgreSQL drop its WAL.
 */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "config/config_reader.h"
#include "config/suggest.h"

static size_t
count_active(const struct config *cfg)
{
	size_t n = 0;

	for (size_t i = 0; i < cfg->n_repositories; i++)
		n += cfg->repositories[i].state == CONFIG_REPOSITORY_ACTIVE;
	return n;
}

static int
resolve_count(struct acknowledge *a, const char *word, size_t active, struct err *err)
{
	uint64_t n;

	if (!str_to_u64(word, 1, active, &n)) {
		err_set(err, ERR_CONFIG, 0, "acknowledge: %.60s is not between 1 and the number of active repositories, %zu",
		    word, active);
		return err_hint(
		    err, "0 would let PostgreSQL drop WAL that is nowhere; more than there are would stop archiving");
	}
	a->mode = ACKNOWLEDGE_COUNT;
	a->count = (size_t)n;
	return 0;
}

static int
resolve_name(struct config *cfg, const char *word, struct err *err)
{
	struct suggest s = suggest_for(word);

	for (size_t i = 0; i < cfg->n_repositories; i++) {
		const struct config_repository *r = &cfg->repositories[i];

		suggest_offer(&s, r->name);
		if (strcmp(r->name, word) != 0)
			continue;
		if (r->state != CONFIG_REPOSITORY_ACTIVE) {
			err_set(err, ERR_CONFIG, 0, "acknowledge: repository '%s' is lost and can acknowledge nothing", word);
			return err_hint(err, "name only active repositories, or archiving stands still");
		}
		if (cfg->acknowledge.named[i])
			return err_set(err, ERR_CONFIG, 0, "acknowledge: '%s' is named twice", word);
		cfg->acknowledge.named[i] = true;
		return 0;
	}
	err_set(err, ERR_CONFIG, 0, "acknowledge: there is no [repository:%.60s]", word);
	if (suggest_best(&s) != NULL)
		return err_hint(err, "did you mean '%s'?", suggest_best(&s));
	return err_hint(err, "write all or a number alone, or names of repositories");
}

int
acknowledge_resolve(struct config *cfg, struct err *err)
{
	const struct config_words *words = &cfg->acknowledge_words;
	struct acknowledge *a = &cfg->acknowledge;
	size_t active = count_active(cfg);

	a->mode = ACKNOWLEDGE_ALL;
	if (words->n == 0 && active > 1) {
		err_set(err, ERR_CONFIG, 0, "%zu repositories are active and [archive] acknowledge is not set", active);
		return err_hint(err,
		    "decide which must hold a segment before PostgreSQL may drop it: acknowledge = all, a number, "
		    "or names");
	}
	if (words->n == 0 || (words->n == 1 && strcmp(words->words[0], "all") == 0))
		return 0;
	if (words->n == 1 && words->words[0][strspn(words->words[0], "0123456789")] == '\0')
		return resolve_count(a, words->words[0], active, err);

	a->named = calloc(cfg->n_repositories, sizeof(*a->named));
	if (a->named == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the repositories");
	a->mode = ACKNOWLEDGE_NAMES;
	for (size_t i = 0; i < words->n; i++) {
		int rc = resolve_name(cfg, words->words[i], err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

bool
acknowledge_satisfied(const struct config *cfg, const bool done_by_repository_index[])
{
	const struct acknowledge *a = &cfg->acknowledge;
	size_t done = 0, active = 0;

	for (size_t i = 0; i < cfg->n_repositories; i++) {
		if (cfg->repositories[i].state != CONFIG_REPOSITORY_ACTIVE)
			continue;
		active++;
		if (done_by_repository_index[i])
			done++;
		else if (a->mode == ACKNOWLEDGE_NAMES && a->named[i])
			return false;
	}
	if (done == 0)
		return false;
	if (a->mode == ACKNOWLEDGE_COUNT)
		return done >= a->count;
	return a->mode == ACKNOWLEDGE_NAMES || done == active;
}
