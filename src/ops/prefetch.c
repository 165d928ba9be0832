#include "ops/prefetch.h"

#include "base/clock.h"
#include "ops/postmaster.h"
#include "ops/prefetch_window.h"
#include "ops/spool_entry.h"

#define WAIT_STEP_MS 1
#define WAIT_STILL_MS 500 /* without a byte more: whoever writes it hangs */
#define WAIT_MOST_MS 5000 /* growing slowly: a fetch of our own is not slower */
#define WAIT_SHARE 4      /* of the time limit, whatever it is */
#define START_SECONDS 60  /* of a server, in which a trouble is told that no note can be kept of */

/* A recovery asks, and there is a server to ask again: else somebody fetches by hand. */
static bool
is_recovery(struct postmaster *server)
{
	return (access("recovery.signal", F_OK) == 0 || access("standby.signal", F_OK) == 0) && postmaster_find(".", server);
}

/* Troubles of the spool cost speed alone. Where none can be noted down they are told as recovery begins, not with each segment.
 */
static void
tell_trouble(const struct prefetch *p, const struct postmaster *server, struct err *err)
{
	bool begins = clock_now_us() / 1000000 - server->started < START_SECONDS;

	err_wrap(err, "segments are not prefetched");
	log_err(p->op->log, begins ? LOG_WARN : LOG_DEBUG, err);
}

uint64_t
prefetch_room(const struct op *op, const struct spool *s)
{
	uint64_t n = op->config->restore_prefetch / s->segment_size;

	return n > PREFETCH_MOST ? PREFETCH_MOST : n;
}

void
prefetch_open(struct prefetch *p, const struct op *op, const struct fetch_options *o, const char *name)
{
	struct wal_name parsed;
	struct postmaster server;
	struct err err = {0};
	int rc;

	*p = (struct prefetch){.op = op, .spool = SPOOL_NONE, .name = name};
	if (op->config->restore_prefetch == 0 || !wal_name_parse(name, &parsed) || parsed.kind != WAL_NAME_SEGMENT ||
	    !is_recovery(&server))
		return;
	rc = spool_find(&p->spool, op, o, &err);
	if (rc == 0 && prefetch_room(op, &p->spool) == 0)
		return;
	if (rc == 0)
		rc = spool_open(&p->spool, false, &err);
	p->on = rc == 0 || rc == ERR_NOT_FOUND; /* not there yet */
	if (!p->on)
		tell_trouble(p, &server, &err);
}

void
prefetch_close(struct prefetch *p)
{
	spool_close(&p->spool);
}

static int
take_once(struct prefetch *p, const char *path, struct spool_origin *origin, struct err *err)
{
	struct fetch_target target;
	int rc = fetch_target_init(&target, path, err);

	return rc < 0 ? rc : spool_take(&p->spool, p->name, &target, origin, err);
}

/* Until it is there or nobody works on it any more. */
static int
take_with_patience(struct prefetch *p, const char *path, struct spool_origin *origin, struct err *err)
{
	int64_t share = p->op->config->restore_timeout_ms / WAIT_SHARE;
	struct deadline end = deadline_in_ms(share < WAIT_MOST_MS ? share : WAIT_MOST_MS),
			still = deadline_in_ms(WAIT_STILL_MS);
	uint64_t done = 0, now = 0;

	for (;;) {
		bool writing = spool_is_writing(&p->spool, p->name, &now);
		int rc = take_once(p, path, origin, err); /* behind the question: it may have become ready meanwhile */

		if ((rc != ERR_NOT_FOUND && rc != ERR_RETRY) || (rc == ERR_NOT_FOUND && !writing) || deadline_passed(end) ||
		    deadline_passed(still))
			return rc;
		if (now != done)
			still = deadline_in_ms(WAIT_STILL_MS);
		done = now;
		clock_sleep_ms(WAIT_STEP_MS);
	}
}

bool
prefetch_take(struct prefetch *p, const char *path)
{
	const struct log *log = p->op->log;
	struct spool_origin origin;
	struct err err = {0};
	int rc;

	if (!p->on || p->spool.fd < 0)
		return false;
	rc = take_with_patience(p, path, &origin, &err);
	if (rc < 0) {
		if (rc == ERR_CORRUPT)
			log_write(log, LOG_WARN, "prefetched in vain: %s; it is fetched again", err.msg);
		(void)spool_ring(&p->spool, SPOOL_ASKED, p->name);
		return false;
	}
	log_write(log, LOG_DEBUG, "prefetched from repository '%s'", origin.repository);
	if (origin.doubt.kind != 0)
		log_err(log, LOG_WARN, &origin.doubt);
	return true;
}

bool
prefetch_delivered(struct prefetch *p)
{
	struct postmaster server = {0};
	struct err err = {0};

	if (!p->on || (p->spool.fd >= 0 && spool_ring(&p->spool, SPOOL_DELIVERED, p->name)))
		return false;
	if (p->spool.fd < 0 && spool_open(&p->spool, true, &err) < 0) {
		if (is_recovery(&server))
			tell_trouble(p, &server, &err);
		return false;
	}
	if (!spool_is_off(&p->spool, &err))
		return true;
	if (err.kind != 0) {
		err_wrap(&err, "segments are not prefetched for now");
		log_err(p->op->log, LOG_WARN, &err);
	}
	return false;
}
