#include "base/log.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "base/str.h"

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static void
write_line(const struct log *log, const char *word, const char *text)
{
	char line[2304], when[40];
	int n;

	clock_format_utc(when, sizeof(when), clock_now_us());
	n = snprintf(line, sizeof(line), "%s %s %s: %s\n", when, log->program != NULL ? log->program : "pgcairn", word, text);
	if (n <= 0)
		return;
	if ((size_t)n >= sizeof(line)) {
		n = (int)sizeof(line) - 1;
		line[n - 1] = '\n';
	}
	for (int i = 0; i < n - 1; i++) /* one message, one line */
		if (line[i] == '\n' || line[i] == '\r' || line[i] == '\t')
			line[i] = ' ';
	str_disarm(line, (size_t)n);
	/* where standard error is gone there is nobody left to tell */
	if (write(log->fd, line, (size_t)n) < 0)
		return;
}

void
log_write(const struct log *log, enum log_level level, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	if (log == NULL || level > log->level)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	write_line(log, level_names[level], text);
}

void
log_err(const struct log *log, enum log_level level, const struct err *err)
{
	log_write(log, level, "%s", err->msg);
	if (log != NULL && level <= log->level)
		write_line(log, "hint", err_remedy(err));
}

int
log_level_parse(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
		if (strcmp(word, level_names[i]) == 0)
			return (int)i;
	return -1;
}
