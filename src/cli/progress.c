/*
 * The rate is that of about the last ten seconds: an average over all of it would hide that a store has become slow, and
 * the time left would be a lie.
 */
#include "cli/progress.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/str.h"

#define DRAW_EVERY_MS 200
#define LOG_EVERY_MS 30000
#define RATE_WINDOW_MS 10000.0
#define LINE_MAX_BYTES 256

struct progress {
	struct progress_options options;
	bool terminal;
	bool drawn;        /* something stands on the line */
	int64_t next_ms;   /* when to show something again */
	int64_t sample_ms; /* when and where the rate was last taken; -1: not yet */
	uint64_t sample_done;
	double rate; /* bytes a second */
	bool has_rate;
};

struct progress *
progress_new(const struct progress_options *options)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->options = *options;
	p->terminal = isatty(options->fd) == 1;
	p->next_ms = p->terminal ? 0 : clock_monotonic_ms() + LOG_EVERY_MS;
	p->sample_ms = -1;
	return p;
}

/* A sample weighs as much as the share of the window that it covers. */
static void
take_rate(struct progress *p, int64_t now, uint64_t done)
{
	int64_t ms = now - p->sample_ms;
	double weight, rate;

	if (p->sample_ms >= 0 && ms <= 0)
		return;
	if (p->sample_ms >= 0 && done >= p->sample_done) {
		rate = (double)(done - p->sample_done) * 1000.0 / (double)ms;
		weight = (double)ms < RATE_WINDOW_MS ? (double)ms / RATE_WINDOW_MS : 1.0;
		p->rate = p->has_rate ? p->rate + (rate - p->rate) * weight : rate;
		p->has_rate = true;
	}
	p->sample_ms = now;
	p->sample_done = done;
}

/* Nothing where nobody can say, and nothing beyond four days: such a guess helps nobody. */
static void
format_left(const struct progress *p, char *out, size_t size, uint64_t done, uint64_t total)
{
	double seconds;
	uint64_t s;

	out[0] = '\0';
	if (!p->has_rate || p->rate < 1 || total <= done)
		return;
	seconds = (double)(total - done) / p->rate;
	if (seconds > 4 * 86400)
		return;
	s = (uint64_t)(seconds + 0.5);
	if (s >= 3600)
		(void)snprintf(out, size, ", %" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " left", s / 3600, s / 60 % 60, s % 60);
	else
		(void)snprintf(out, size, ", %" PRIu64 ":%02" PRIu64 " left", s / 60, s % 60);
}

static void
format_line(const struct progress *p, char *out, size_t size, uint64_t done, uint64_t total)
{
	char have[16], all[16], rate[32] = "", left[48];

	str_from_size(have, sizeof(have), done);
	str_from_size(all, sizeof(all), total);
	format_left(p, left, sizeof(left), done, total);
	if (p->has_rate) {
		char a_second[16];

		str_from_size(a_second, sizeof(a_second), (uint64_t)p->rate);
		(void)snprintf(rate, sizeof(rate), ", %s/s", a_second);
	}
	if (total == 0)
		(void)snprintf(out, size, "%s: %s%s", p->options.label, have, rate);
	else
		(void)snprintf(out, size, "%s: %s of %s, %d%%%s%s", p->options.label, have, all,
		    done >= total ? 100 : (int)((double)done / (double)total * 100.0), rate, left);
}

static void
put(const struct progress *p, const char *text)
{
	/* a courtesy: where the terminal is gone there is nobody left to show it to */
	if (write(p->options.fd, text, strlen(text)) < 0)
		return;
}

/* A line that wraps could not be wiped, so it is cut before the terminal's last column. */
static void
draw(struct progress *p, char *line)
{
	char text[LINE_MAX_BYTES + 8];
	struct winsize size;
	size_t columns = 80, n = strlen(line);

	if (ioctl(p->options.fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		columns = size.ws_col;
	if (n >= columns)
		n = columns - 1;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 127)
			line[i] = '?';
	(void)snprintf(text, sizeof(text), "\r%.*s\033[K", (int)n, line);
	put(p, text);
	p->drawn = true;
}

void
progress_update(struct progress *p, uint64_t done, uint64_t total)
{
	char line[LINE_MAX_BYTES];
	int64_t now;

	if (p == NULL || p->options.disabled)
		return;
	now = clock_monotonic_ms();
	if (now < p->next_ms) {
		if (p->sample_ms < 0)
			take_rate(p, now, done);
		return;
	}
	p->next_ms = now + (p->terminal ? DRAW_EVERY_MS : LOG_EVERY_MS);
	take_rate(p, now, done);
	format_line(p, line, sizeof(line), done, total);
	if (p->terminal)
		draw(p, line);
	else
		log_write(p->options.log, LOG_INFO, "%s", line);
}

void
progress_show(void *progress, uint64_t done, uint64_t total)
{
	progress_update(progress, done, total);
}

void
progress_clear(struct progress *p)
{
	if (p == NULL || !p->drawn)
		return;
	put(p, "\r\033[K");
	p->drawn = false;
	p->next_ms = 0;
}

void
progress_free(struct progress *p)
{
	progress_clear(p);
	free(p);
}
