#include "ops/prefetch_window.h"

#include <string.h>

#define NONE UINT64_MAX

static void
begin(struct prefetch_window *w, timeline_t timeline, uint64_t base)
{
	w->timeline = timeline;
	w->base = base;
	w->stop = NONE;
	w->width = w->most < PREFETCH_FIRST ? w->most : PREFETCH_FIRST;
	memset(w->states, PREFETCH_FREE, sizeof(w->states));
}

void
prefetch_window_init(struct prefetch_window *w, timeline_t timeline, uint64_t base, uint64_t most)
{
	w->most = most;
	w->life = 0;
	begin(w, timeline, base);
}

static uint8_t *
state(struct prefetch_window *w, uint64_t segno)
{
	return &w->states[segno % PREFETCH_MOST];
}

static bool
holds(const struct prefetch_window *w, timeline_t timeline, uint64_t segno)
{
	return timeline == w->timeline && segno > w->base && segno - w->base <= PREFETCH_MOST;
}

bool
prefetch_window_next(struct prefetch_window *w, struct prefetch_piece *out)
{
	for (uint64_t n = w->base + 1; n - w->base <= w->width && n < w->stop; n++) {
		if (*state(w, n) != PREFETCH_FREE)
			continue;
		*state(w, n) = PREFETCH_BUSY;
		*out = (struct prefetch_piece){w->timeline, n, w->life};
		return true;
	}
	return false;
}

bool
prefetch_window_wants(const struct prefetch_window *w, const struct prefetch_piece *p)
{
	return p->life == w->life && holds(w, p->timeline, p->segno);
}

void
prefetch_window_done(struct prefetch_window *w, const struct prefetch_piece *p, bool ready)
{
	if (!prefetch_window_wants(w, p))
		return;
	*state(w, p->segno) = ready ? PREFETCH_READY : PREFETCH_FREE;
	if (!ready && p->segno < w->stop)
		w->stop = p->segno;
}

void
prefetch_window_delivered(struct prefetch_window *w, timeline_t timeline, uint64_t segno,
    void (*drop)(void *arg, timeline_t timeline, uint64_t segno), void *arg)
{
	bool on = timeline == w->timeline && segno >= w->base && segno - w->base <= PREFETCH_MOST;
	uint64_t last = on ? segno : w->base + w->most;

	for (uint64_t n = w->base + 1; n <= last; n++) {
		if (*state(w, n) == PREFETCH_READY)
			drop(arg, w->timeline, n);
		*state(w, n) = PREFETCH_FREE;
	}
	if (!on) {
		w->life++;
		begin(w, timeline, segno);
		return;
	}
	if (segno > w->base)
		w->width = 2 * w->width < w->most ? 2 * w->width : w->most;
	w->base = segno;
	w->stop = NONE;
}

void
prefetch_window_asked(struct prefetch_window *w, timeline_t timeline, uint64_t segno)
{
	if (holds(w, timeline, segno) && *state(w, segno) == PREFETCH_FREE)
		*state(w, segno) = PREFETCH_LEFT;
}

bool
prefetch_window_at_end(const struct prefetch_window *w)
{
	if (w->stop == NONE)
		return false;
	for (uint64_t n = w->base + 1; n <= w->base + w->most; n++)
		if (w->states[n % PREFETCH_MOST] == PREFETCH_READY || w->states[n % PREFETCH_MOST] == PREFETCH_BUSY)
			return false;
	return true;
}
