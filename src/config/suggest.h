/*
 * "Did you mean": the candidate nearest to a mistyped word, by edit distance (insert, delete, replace, swap of neighbours).
 *
 *	struct suggest s = suggest_for(word);
 *	suggest_offer(&s, "state-directory");
 *	suggest_best(&s)                        -> "state-directory", or NULL when nothing is close
 */
#ifndef PGCAIRN_CONFIG_SUGGEST_H
#define PGCAIRN_CONFIG_SUGGEST_H

#include <stddef.h>

#define SUGGEST_WORD_MAX 48 /* longer words get no suggestion */

struct suggest {
	const char *word; /* borrowed, as the candidates are */
	const char *best;
	size_t distance; /* of best; starts at what still counts as close */
};

struct suggest suggest_for(const char *word);
void suggest_offer(struct suggest *s, const char *candidate);
const char *suggest_best(const struct suggest *s);

#endif
