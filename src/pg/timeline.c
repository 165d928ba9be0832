/* Timeline history; see timeline.h. */
#include "pg/timeline.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define BLANKS " \t\r\v\f"
#define LINE_MAX_HERE 1024

/* The next word of *at into out; false when there is none or it does not fit. */
static bool
word(const char **at, char *out, size_t size)
{
	size_t n;

	*at += strspn(*at, BLANKS);
	n = strcspn(*at, BLANKS);
	if (n == 0 || n >= size)
		return false;
	memcpy(out, *at, n);
	out[n] = '\0';
	*at += n;
	return true;
}

static int
parse_line(const char *line, struct timeline_entry *out)
{
	char text[LSN_TEXT];
	uint64_t tli;

	if (!word(&line, text, sizeof(text)) || !str_to_u64(text, 1, UINT32_MAX, &tli))
		return -1;
	if (!word(&line, text, sizeof(text)) || !lsn_parse(text, &out->switch_lsn) || out->switch_lsn == TIMELINE_LSN_END)
		return -1; /* the last position that there could be holds no WAL, and means "no end" here */
	out->tli = (timeline_t)tli;
	return 0;
}

static int
add(struct timeline_history *h, const struct timeline_entry *e, size_t *cap, struct err *err)
{
	if (h->n == *cap) {
		size_t more = *cap == 0 ? 16 : *cap * 2;
		struct timeline_entry *grown;

		if (h->n >= TIMELINE_ENTRIES_MAX)
			return err_set(err, ERR_CORRUPT, 0, "history of timeline %" PRIu32 ": too many lines", h->timeline);
		grown = realloc(h->entries, more * sizeof(*grown));
		if (grown == NULL)
			return err_set(err, ERR_NOMEM, 0, "no memory for the history of timeline %" PRIu32, h->timeline);
		h->entries = grown;
		*cap = more;
	}
	h->entries[h->n++] = *e;
	return 0;
}

static int
take_line(struct timeline_history *h, const char *line, size_t number, size_t *cap, struct err *err)
{
	const char *text = line + strspn(line, BLANKS);
	struct timeline_entry e;

	if (*text == '\0' || *text == '#')
		return 0;
	if (parse_line(text, &e) < 0)
		return err_set(err, ERR_CORRUPT, 0, "history of timeline %" PRIu32 ", line %zu: no timeline and position",
		    h->timeline, number);
	if (e.tli >= h->timeline || (h->n > 0 && e.tli <= h->entries[h->n - 1].tli))
		return err_set(err, ERR_CORRUPT, 0,
		    "history of timeline %" PRIu32 ", line %zu: timeline %" PRIu32 " is out of order", h->timeline, number,
		    e.tli);
	return add(h, &e, cap, err);
}

int
timeline_history_parse(struct timeline_history *out, timeline_t timeline, const char *data, size_t len, struct err *err)
{
	TIMELINE_HISTORY_AUTO struct timeline_history h = {.timeline = timeline};
	size_t cap = 0, at = 0, number = 0;

	if (timeline == 0 || len > TIMELINE_FILE_MAX)
		return err_set(
		    err, ERR_CORRUPT, 0, "history of timeline %" PRIu32 ": no such timeline, or %zu bytes", timeline, len);
	while (at < len) {
		const char *nl = memchr(data + at, '\n', len - at);
		size_t n = nl != NULL ? (size_t)(nl - data) - at : len - at;
		char line[LINE_MAX_HERE];
		int rc;

		number++;
		if (n >= sizeof(line) || memchr(data + at, '\0', n) != NULL)
			return err_set(err, ERR_CORRUPT, 0, "history of timeline %" PRIu32 ", line %zu: not a line of text",
			    timeline, number);
		memcpy(line, data + at, n);
		line[n] = '\0';
		rc = take_line(&h, line, number, &cap, err);
		if (rc < 0)
			return rc;
		at += n + 1;
	}
	*out = h;
	h.entries = NULL;
	return 0;
}

void
timeline_history_free(struct timeline_history *h)
{
	free(h->entries);
	memset(h, 0, sizeof(*h));
}

/* The lowest of this and all later positions: where the path really left entry i. */
static lsn_t
real_end(const struct timeline_history *h, size_t i)
{
	lsn_t end = TIMELINE_LSN_END;

	for (; i < h->n; i++) {
		if (h->entries[i].switch_lsn < end)
			end = h->entries[i].switch_lsn;
	}
	return end;
}

timeline_t
timeline_of_lsn(const struct timeline_history *h, lsn_t lsn)
{
	/* newest first: a position is held by the first timeline that began at or before it */
	for (size_t i = h->n; i > 0; i--) {
		if (lsn >= h->entries[i - 1].switch_lsn)
			return i < h->n ? h->entries[i].tli : h->timeline;
	}
	return h->n > 0 ? h->entries[0].tli : h->timeline;
}

bool
timeline_history_covers(const struct timeline_history *h, timeline_t tli, lsn_t lsn)
{
	return timeline_of_lsn(h, lsn) == tli;
}

bool
timeline_switch_end(const struct timeline_history *h, timeline_t tli, lsn_t *end)
{
	if (tli == h->timeline) {
		*end = TIMELINE_LSN_END;
		return true;
	}
	for (size_t i = 0; i < h->n; i++) {
		if (h->entries[i].tli == tli) {
			*end = real_end(h, i);
			return true;
		}
	}
	return false;
}

/* The i-th timeline of a path, itself included; 0 behind the last. */
static timeline_t
step(const struct timeline_history *h, size_t i)
{
	if (i < h->n)
		return h->entries[i].tli;
	return i == h->n ? h->timeline : 0;
}

lsn_t
timeline_fork(const struct timeline_history *a, const struct timeline_history *b)
{
	lsn_t end_a = 0, end_b = 0;
	size_t i = 0;

	while (step(a, i) != 0 && step(a, i) == step(b, i))
		i++;
	if (i == 0 || !timeline_switch_end(a, step(a, i - 1), &end_a) || !timeline_switch_end(b, step(b, i - 1), &end_b))
		return 0;
	return end_a < end_b ? end_a : end_b;
}
