/* The progress line, on a terminal of the test's own and with the test's own clock. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <cmocka.h>
#include <string.h>
#include <termios.h>

#include "base/clock.h"
#include "cli/progress.h"

#define MB (UINT64_C(1) << 20)

static int64_t fake_ms;

static int64_t
fake_monotonic(void)
{
	return fake_ms;
}

static int64_t
fake_now(void)
{
	return 0;
}

static const struct clock_ops fake_clock = {.monotonic_ms = fake_monotonic, .now_us = fake_now};

struct screen {
	int master, slave;
	char text[1024];
};

static void
screen_open(struct screen *s, unsigned short columns)
{
	struct winsize size = {.ws_col = columns, .ws_row = 10};
	struct termios raw;

	s->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	if (s->master < 0) /* a container without /dev/ptmx */
		skip();
	assert_int_equal(grantpt(s->master), 0);
	assert_int_equal(unlockpt(s->master), 0);
	s->slave = open(ptsname(s->master), O_RDWR | O_NOCTTY);
	assert_true(s->slave >= 0);
	assert_int_equal(tcgetattr(s->slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(s->slave, TCSANOW, &raw), 0);
	assert_int_equal(ioctl(s->slave, TIOCSWINSZ, &size), 0);
	fake_ms = 1000;
	clock_replace(&fake_clock);
}

static void
screen_close(struct screen *s)
{
	clock_replace(NULL);
	(void)close(s->slave);
	(void)close(s->master);
}

/* What was written since the last look. */
static const char *
shown(struct screen *s)
{
	ssize_t n = read(s->master, s->text, sizeof(s->text) - 1);

	s->text[n > 0 ? n : 0] = '\0';
	return s->text;
}

static void
a_terminal_shows_share_rate_and_time_left(void **state)
{
	struct screen s;
	struct progress *p;

	(void)state;
	screen_open(&s, 100);
	p = progress_new(&(struct progress_options){.fd = s.slave, .label = "backup"});
	progress_update(p, 0, 100 * MB);
	assert_string_equal(shown(&s), "\rbackup: 0 B of 100.0 MB, 0%\033[K");
	fake_ms += 1000;
	progress_update(p, 10 * MB, 100 * MB);
	assert_string_equal(shown(&s), "\rbackup: 10.0 MB of 100.0 MB, 10%, 10.0 MB/s, 0:09 left\033[K");
	fake_ms += 1000;
	progress_update(p, 10 * MB, 100 * MB); /* it stands still: the rate falls, slowly */
	assert_string_equal(shown(&s), "\rbackup: 10.0 MB of 100.0 MB, 10%, 9.0 MB/s, 0:10 left\033[K");
	fake_ms += 1000;
	progress_update(p, 120 * MB, 100 * MB); /* it grew meanwhile */
	assert_non_null(strstr(shown(&s), " 100%, "));
	assert_null(strstr(s.text, "left"));
	progress_free(p);
	assert_string_equal(shown(&s), "\r\033[K");
	screen_close(&s);
}

static void
it_is_drawn_five_times_a_second_at_most(void **state)
{
	struct screen s;
	struct progress *p;
	int drawn = 0;

	(void)state;
	screen_open(&s, 100);
	p = progress_new(&(struct progress_options){.fd = s.slave, .label = "x"});
	for (int i = 0; i < 1000; i++) {
		progress_update(p, (uint64_t)i, 0);
		drawn += shown(&s)[0] != '\0';
		fake_ms++;
	}
	assert_int_equal(drawn, 5);
	progress_clear(p);
	assert_string_equal(shown(&s), "\r\033[K");
	progress_clear(p);
	assert_string_equal(shown(&s), "");
	progress_update(p, 1000, 0); /* at once, because something else was written over it */
	assert_non_null(strstr(shown(&s), "x: 1000 B"));
	progress_free(p);
	screen_close(&s);
}

static void
a_line_never_wraps(void **state)
{
	struct screen s;
	struct progress *p;

	(void)state;
	screen_open(&s, 12);
	p = progress_new(&(struct progress_options){.fd = s.slave, .label = "a\033 long label"});
	progress_update(p, 1, 2);
	assert_string_equal(shown(&s), "\ra? long lab\033[K");
	progress_free(p);
	screen_close(&s);
}

static void
quiet_shows_nothing(void **state)
{
	struct screen s;
	struct progress *p;

	(void)state;
	screen_open(&s, 80);
	p = progress_new(&(struct progress_options){.fd = s.slave, .label = "x", .disabled = true});
	progress_update(p, 1, 2);
	progress_free(p);
	assert_string_equal(shown(&s), "");
	progress_update(NULL, 1, 2);
	progress_clear(NULL);
	progress_free(NULL);
	screen_close(&s);
}

static void
without_a_terminal_a_line_is_logged_every_30_seconds(void **state)
{
	int pipe_fds[2];
	struct progress *p;
	struct log log = {.level = LOG_INFO, .program = "t"};
	char text[1024];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_NONBLOCK), 0);
	log.fd = pipe_fds[1];
	fake_ms = 0;
	clock_replace(&fake_clock);
	p = progress_new(&(struct progress_options){.fd = pipe_fds[1], .label = "x", .log = &log});
	for (; fake_ms < 30000; fake_ms += 100)
		progress_update(p, (uint64_t)fake_ms * 1024, 0);
	assert_int_equal(read(pipe_fds[0], text, sizeof(text)), -1);
	for (; fake_ms < 59900; fake_ms += 100)
		progress_update(p, (uint64_t)fake_ms * 1024, 0);
	n = read(pipe_fds[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, "1970-01-01T00:00:00Z t info: x: 29.3 MB, 1000.0 kB/s\n");
	progress_free(p);
	assert_int_equal(read(pipe_fds[0], text, sizeof(text)), -1);
	clock_replace(NULL);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_terminal_shows_share_rate_and_time_left),
	    cmocka_unit_test(it_is_drawn_five_times_a_second_at_most),
	    cmocka_unit_test(a_line_never_wraps),
	    cmocka_unit_test(quiet_shows_nothing),
	    cmocka_unit_test(without_a_terminal_a_line_is_logged_every_30_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
