#include "base/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "base/fs.h"

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

#define YEAR_9999_END INT64_C(253402300799)

static int64_t
real_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t
real_monotonic_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
real_sleep_ms(int64_t ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

static void
real_random(void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			abort(); /* a kernel without random numbers: going on would make guessable keys */
		}
		p += n;
		len -= (size_t)n;
	}
}

static const char *
real_env(const char *name)
{
	return getenv(name);
}

static int
real_boot_id(char out[CLOCK_BOOT_ID], struct err *err)
{
	BUF_AUTO struct buf text = {.max = 128};
	int rc = fs_read_file(BOOT_ID_FILE, text.max, &text, err);

	if (rc < 0)
		return rc;
	if (text.len < CLOCK_BOOT_ID - 1)
		return err_set(err, ERR_IO, 0, "'%s' holds no boot id", BOOT_ID_FILE);
	memcpy(out, text.data, CLOCK_BOOT_ID - 1);
	out[CLOCK_BOOT_ID - 1] = '\0';
	return 0;
}

static const struct clock_ops real_ops = {real_now_us, real_monotonic_ms, real_sleep_ms, real_random, real_env, real_boot_id};
static const struct clock_ops *ops = &real_ops;

void
clock_replace(const struct clock_ops *other)
{
	ops = other != NULL ? other : &real_ops;
}

int64_t
clock_now_us(void)
{
	return ops->now_us();
}

int64_t
clock_monotonic_ms(void)
{
	return ops->monotonic_ms();
}

void
clock_sleep_ms(int64_t ms)
{
	ops->sleep_ms(ms);
}

void
clock_random(void *buf, size_t len)
{
	ops->random(buf, len);
}

const char *
clock_env(const char *name)
{
	return ops->env(name);
}

int
clock_boot_id(char out[CLOCK_BOOT_ID], struct err *err)
{
	return ops->boot_id(out, err);
}

void
clock_format_utc(char *out, size_t size, int64_t us)
{
	int64_t sec = us / 1000000, frac = us % 1000000;
	struct tm tm;
	time_t t;
	size_t n;

	if (frac < 0) {
		frac += 1000000;
		sec--;
	}
	t = (time_t)sec;
	if (gmtime_r(&t, &tm) == NULL) {
		(void)snprintf(out, size, "out-of-range");
		return;
	}
	n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	if (frac != 0)
		(void)snprintf(out + n, size - n, ".%06dZ", (int)frac);
	else
		(void)snprintf(out + n, size - n, "Z");
}

/* Exactly n digits at *p within lo..hi; moves *p. */
static bool
digits(const char **p, int n, int lo, int hi, int *out)
{
	int v = 0;

	for (int i = 0; i < n; i++) {
		if ((*p)[i] < '0' || (*p)[i] > '9')
			return false;
		v = v * 10 + ((*p)[i] - '0');
	}
	*p += n;
	*out = v;
	return v >= lo && v <= hi;
}

/* "Z", "+HH", "+HHMM" or "+HH:MM" to minutes east of UTC. */
static bool
offset(const char **p, int *minutes)
{
	int h, m = 0, sign;

	if (**p == 'Z' || **p == 'z') {
		(*p)++;
		*minutes = 0;
		return true;
	}
	if (**p != '+' && **p != '-')
		return false;
	sign = **p == '-' ? -1 : 1;
	(*p)++;
	if (!digits(p, 2, 0, 15, &h))
		return false;
	if (**p == ':') {
		(*p)++;
		if (!digits(p, 2, 0, 59, &m))
			return false;
	} else if (**p != '\0' && !digits(p, 2, 0, 59, &m)) {
		return false;
	}
	*minutes = sign * (h * 60 + m);
	return true;
}

int
clock_parse_utc(const char *text, int64_t *us, struct err *err)
{
	const char *p = text;
	struct tm tm = {0}, back;
	int year, mon, frac = 0, minutes;
	time_t t;

	if (!digits(&p, 4, 1970, 9999, &year) || *p++ != '-' || !digits(&p, 2, 1, 12, &mon) || *p++ != '-' ||
	    !digits(&p, 2, 1, 31, &tm.tm_mday) || (*p != 'T' && *p != ' ') || !digits((p++, &p), 2, 0, 23, &tm.tm_hour) ||
	    *p++ != ':' || !digits(&p, 2, 0, 59, &tm.tm_min))
		goto malformed;
	if (*p == ':') {
		p++;
		if (!digits(&p, 2, 0, 59, &tm.tm_sec))
			goto malformed;
	}
	if (*p == '.') {
		int n = 0;

		for (p++; *p >= '0' && *p <= '9' && n < 6; p++, n++)
			frac = frac * 10 + (*p - '0');
		if (n == 0)
			goto malformed;
		for (; n < 6; n++)
			frac *= 10;
	}
	while (*p == ' ')
		p++;
	if (*p == '\0') {
		err_set(err, ERR_CONFIG, 0, "time '%s' has no offset from UTC", text);
		return err_hint(err, "write it as %s+00, or with the offset that you mean", text);
	}
	if (!offset(&p, &minutes) || *p != '\0')
		goto malformed;
	tm.tm_year = year - 1900;
	tm.tm_mon = mon - 1;
	back = tm;
	t = timegm(&back);
	if (back.tm_mday != tm.tm_mday) /* the 31st of a short month */
		goto malformed;
	t -= (time_t)minutes * 60;
	if (t > YEAR_9999_END) /* four digits are what we write, and what others read */
		goto malformed;
	*us = (int64_t)t * 1000000 + frac;
	return 0;

malformed:
	err_set(err, ERR_CONFIG, 0, "'%s' is not a time", text);
	return err_hint(err, "write it like 2026-01-31 14:59:00+00");
}

struct deadline
deadline_in_ms(int64_t ms)
{
	int64_t now = clock_monotonic_ms();

	return (struct deadline){ms < INT64_MAX - now ? now + ms : INT64_MAX};
}

int64_t
deadline_left_ms(struct deadline d)
{
	int64_t left;

	if (d.at_ms == INT64_MAX)
		return INT64_MAX;
	left = d.at_ms - clock_monotonic_ms();
	return left > 0 ? left : 0;
}

bool
deadline_passed(struct deadline d)
{
	return deadline_left_ms(d) == 0;
}

bool
clock_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ms)
{
	int64_t left = until_ms - clock_monotonic_ms();
	struct timespec until;

	if (until_ms == INT64_MAX) {
		(void)pthread_cond_wait(cond, lock);
		return true;
	}
	if (left <= 0)
		return false;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += left / 1000;
	until.tv_nsec += left % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_cond_clockwait(cond, lock, CLOCK_MONOTONIC, &until);
	return true;
}
