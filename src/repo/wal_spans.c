#include "repo/wal_spans.h"

#include <stdlib.h>

#include "base/scope.h"

void
wal_spans_free(struct wal_spans *s)
{
	free(s->list);
	*s = (struct wal_spans){0};
}

/* Behind the last one, or as more of it. */
static int
append(struct wal_spans *s, const struct wal_span *span, struct err *err)
{
	struct wal_span *last = s->n > 0 ? &s->list[s->n - 1] : NULL;

	if (last != NULL && last->mask == span->mask && wal_span_last(last) + 1 == span->first) {
		last->n += span->n;
		return 0;
	}
	if (s->n == s->cap) {
		size_t cap = s->cap == 0 ? 4 : s->cap * 2;
		struct wal_span *grown = realloc(s->list, cap * sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for segments");
		s->list = grown;
		s->cap = cap;
	}
	s->list[s->n++] = *span;
	return 0;
}

int
wal_spans_add(struct wal_spans *s, uint64_t segno, uint32_t mask, struct err *err)
{
	return append(s, &(struct wal_span){segno, 1, mask}, err);
}

static int
by_first(const void *a, const void *b)
{
	const struct wal_span *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Of one repository, so all of one mask: in order, and each segment once. */
static void
normalize(struct wal_spans *s)
{
	size_t out = 0;

	if (s->n == 0)
		return;
	qsort(s->list, s->n, sizeof(*s->list), by_first);
	for (size_t i = 1; i < s->n; i++) {
		struct wal_span *last = &s->list[out], *next = &s->list[i];

		if (next->first > wal_span_last(last) + 1)
			s->list[++out] = *next;
		else if (wal_span_last(next) > wal_span_last(last))
			last->n = wal_span_last(next) - last->first + 1;
	}
	s->n = out + 1;
}

/* Where two lists are walked in step: what of one lies at or behind a segment. */
struct cursor {
	const struct wal_spans *spans;
	size_t i;
	uint64_t start, end; /* of what is left of span i; both UINT64_MAX when nothing is left. end: behind its last */
};

static void
move(struct cursor *c, uint64_t at)
{
	while (c->i < c->spans->n && wal_span_last(&c->spans->list[c->i]) < at)
		c->i++;
	c->start = c->end = UINT64_MAX;
	if (c->i == c->spans->n)
		return;
	c->start = c->spans->list[c->i].first > at ? c->spans->list[c->i].first : at;
	c->end = wal_span_last(&c->spans->list[c->i]) + 1;
}

static uint32_t
mask_at(const struct cursor *c, uint64_t at)
{
	return c->start == at && c->i < c->spans->n ? c->spans->list[c->i].mask : 0;
}

int
wal_spans_unite(struct wal_spans *s, struct wal_spans *from, struct err *err)
{
	SCOPE(wal_spans_free) struct wal_spans both = {0};
	struct cursor a = {.spans = s}, b = {.spans = from};
	uint64_t at = 0;

	normalize(from);
	for (;;) {
		struct wal_span next;
		uint64_t a_edge, b_edge;

		move(&a, at);
		move(&b, at);
		at = a.start < b.start ? a.start : b.start;
		if (at == UINT64_MAX)
			break;
		a_edge = a.start == at ? a.end : a.start;
		b_edge = b.start == at ? b.end : b.start;
		next = (struct wal_span){at, (a_edge < b_edge ? a_edge : b_edge) - at, mask_at(&a, at) | mask_at(&b, at)};
		if (append(&both, &next, err) < 0)
			return ERR_NOMEM;
		at += next.n;
	}
	wal_spans_free(s);
	wal_spans_free(from);
	*s = both;
	both = (struct wal_spans){0};
	return 0;
}

size_t
wal_spans_from(const struct wal_spans *s, uint64_t segno)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (wal_span_last(&s->list[mid]) < segno)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint32_t
wal_spans_mask(const struct wal_spans *s, uint64_t segno)
{
	size_t i = wal_spans_from(s, segno);

	return i < s->n && s->list[i].first <= segno ? s->list[i].mask : 0;
}

uint64_t
wal_spans_count(const struct wal_spans *s)
{
	uint64_t count = 0;

	for (size_t i = 0; i < s->n; i++)
		count += s->list[i].n;
	return count;
}
