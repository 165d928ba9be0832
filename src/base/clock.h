/*
 * Time, random bytes, sleep, the environment and the boot: everything that a test wants to replace comes through here.
 *
 * Wall-clock times are microseconds since 1970-01-01 UTC as int64_t. PostgreSQL counts from 2000-01-01: CLOCK_PG_EPOCH_US
 * is the distance. A deadline is a point of the monotonic clock in milliseconds.
 */
#ifndef PGCAIRN_BASE_CLOCK_H
#define PGCAIRN_BASE_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define CLOCK_BOOT_ID 37 /* text, NUL included */
#define CLOCK_PG_EPOCH_US INT64_C(946684800000000)

struct clock_ops {
	int64_t (*now_us)(void);
	int64_t (*monotonic_ms)(void);
	void (*sleep_ms)(int64_t ms);
	void (*random)(void *buf, size_t len);
	const char *(*env)(const char *name);
	int (*boot_id)(char out[CLOCK_BOOT_ID], struct err *err);
};

/* Replace all of them, for tests; NULL puts the real ones back. */
void clock_replace(const struct clock_ops *ops);

int64_t clock_now_us(void);
int64_t clock_monotonic_ms(void);
void clock_sleep_ms(int64_t ms);
void clock_random(void *buf, size_t len); /* from the kernel; never fails */
const char *clock_env(const char *name);  /* NULL when unset */

/* Another one since this host was started last: what was not synced before may be lost. ERR_IO when the kernel does not say. */
int clock_boot_id(char out[CLOCK_BOOT_ID], struct err *err);

/* RFC 3339 in UTC, to the microsecond where there is a fraction: 2026-01-02T03:04:05.678901Z. out needs 32 bytes. */
void clock_format_utc(char *out, size_t size, int64_t us);

/*
 * RFC 3339, with 'T' or a blank between date and time, a fraction of up to six digits, and an offset (Z, +HH, +HH:MM) that
 * must be there. ERR_CONFIG with a hint when it is not: a time that two people read in two zones loses data.
 */
int clock_parse_utc(const char *text, int64_t *us, struct err *err);

struct deadline {
	int64_t at_ms; /* on the monotonic clock; INT64_MAX: never */
};
struct deadline deadline_in_ms(int64_t ms);
int64_t deadline_left_ms(struct deadline d); /* 0 when it has passed */
bool deadline_passed(struct deadline d);

/*
 * Wait for a condition, whose lock is held, until a point of the monotonic clock in milliseconds (INT64_MAX: as long as it
 * takes). False when that point has passed before the wait; else look again, woken or not.
 */
bool clock_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ms);

#endif
