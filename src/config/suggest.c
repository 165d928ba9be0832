#include "config/suggest.h"

#include <string.h>

static size_t
min3(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Three rows of the usual table are enough: the swap of neighbours looks two rows back. Both words fit SUGGEST_WORD_MAX. */
static size_t
edit_distance(const char *a, size_t n, const char *b, size_t m)
{
	size_t rows[3][SUGGEST_WORD_MAX + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= m; j++)
		above[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *reuse = before;

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			row[j] = min3(row[j - 1] + 1, above[j] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		before = above;
		above = row;
		row = reuse;
	}
	return above[m];
}

struct suggest
suggest_for(const char *word)
{
	size_t n = strlen(word);

	/* one slip in three letters, none in a single one: more than that and the guess is more often wrong than right */
	return (struct suggest){.word = word, .distance = n < 2 ? 0 : n < 6 ? 1 : n / 3};
}

void
suggest_offer(struct suggest *s, const char *candidate)
{
	size_t n = strlen(s->word), m = strlen(candidate), d;

	if (n == 0 || n > SUGGEST_WORD_MAX || m > SUGGEST_WORD_MAX)
		return;
	d = edit_distance(s->word, n, candidate, m);
	if (d > s->distance || (s->best != NULL && d == s->distance))
		return;
	s->best = candidate;
	s->distance = d;
}

const char *
suggest_best(const struct suggest *s)
{
	return s->best;
}
