#include "ops/fetch.h"

#include "base/clock.h"
#include "base/fs.h"
#include "ops/fetch_source.h"
#include "ops/fetch_target.h"
#include "ops/histories.h"
#include "repo/wal_object.h"

#define RETRY_PAUSE_MS 500

struct fetch {
	struct fetch_source source;
	struct fetch_target target;
};

static int
write_piece(const void *data, size_t len, uint64_t offset, void *arg, struct err *err)
{
	const struct fetch_target *t = arg;

	return fs_pwrite_all(t->fd, data, len, offset, t->temporary, err);
}

/* The object's bytes to the temporary; PostgreSQL's name appears only when all of it was verified. */
static int
deliver(struct stored *s, uint64_t size, void *arg, struct err *err)
{
	struct fetch *f = arg;
	int rc = fetch_target_open(&f->target, err);

	(void)size;
	if (rc < 0)
		return rc;
	rc = stored_scatter(s, f->source.op->pool, write_piece, &f->target, err);
	if (rc == 0)
		return fetch_target_publish(&f->target, err);
	fetch_target_abandon(&f->target);
	return rc;
}

/*
 * Two servers can have taken one timeline, each with its history in a repository that the other could not reach. Which of the
 * two is followed must not be decided by the order of the configuration.
 */
static int
check_undisputed(struct fetch_query *q, const char *path, struct err *err)
{
	const struct op *op = q->source->op;
	const struct config *cfg = op->config;

	for (size_t i = 0; i < cfg->n_repositories; i++) {
		const struct config_repository *c = &cfg->repositories[i];
		STORED_AUTO struct stored *s = NULL;
		uint8_t theirs[CONTENT_ID];
		struct err unseen; /* it does not answer, or has none: then it says nothing against the others */
		bool selected;

		if (i == q->from || fetch_selected(op, c, q->source->options, &selected, &unseen) < 0 || !selected ||
		    fetch_find(q, i, &s, &unseen) < 0 || wal_object_content_id(s->clear, theirs, &unseen) < 0 ||
		    memcmp(theirs, q->content_id, CONTENT_ID) == 0)
			continue;
		(void)unlink(path);
		err_set(err, ERR_CONFLICT, 0,
		    "repositories '%s' and '%s' hold different histories of timeline %u: two servers were promoted to it",
		    cfg->repositories[q->from].name, c->name, q->name.timeline);
		return err_hint(err, "choose whose life to follow: --repository NAME in restore_command");
	}
	return 0;
}

static int
fetch_once(struct fetch_query *q, const char *path, struct err *err)
{
	const struct op *op = q->source->op;
	int rc = fetch_ask(q, err);

	if (rc < 0)
		return rc;
	log_write(op->log, LOG_DEBUG, "delivered from repository '%s'", op->config->repositories[q->from].name);
	if (q->doubt.kind != 0)
		log_err(op->log, LOG_WARN, &q->doubt);
	return q->name.kind == WAL_NAME_HISTORY ? check_undisputed(q, path, err) : 0;
}

static int
fetch_with_patience(struct fetch_query *q, const char *path, struct err *err)
{
	struct deadline until = deadline_in_ms(q->source->options->retry_ms);
	int rc;

	for (;;) {
		rc = fetch_once(q, path, err);
		if (rc != ERR_RETRY || deadline_passed(until))
			return rc;
		clock_sleep_ms(RETRY_PAUSE_MS);
	}
}

/*
 * Servers look for the newest timeline by asking for one number after the other, and take the first that is missing for their
 * own: where a history was lost in the middle they would end on an older timeline, and take that number a second time.
 */
static int
check_hole(struct fetch_query *q, struct err *err)
{
	const struct op *op = q->source->op;
	const struct config *cfg = op->config;
	int rc = ERR_NOT_FOUND;

	q->name.timeline++;
	for (size_t i = 0; rc == ERR_NOT_FOUND && i < cfg->n_repositories; i++) {
		const struct config_repository *c = &cfg->repositories[i];
		STORED_AUTO struct stored *s = NULL;
		struct err unseen; /* the miss itself is proved */
		bool selected;

		if (fetch_selected(op, c, q->source->options, &selected, &unseen) < 0 || !selected ||
		    fetch_find(q, i, &s, &unseen) < 0)
			continue;
		rc = err_set(err, ERR_CORRUPT, 0, "no repository has it, but '%s' has the history of timeline %u", c->name,
		    q->name.timeline);
		err_hint(err,
		    "archive the lost history from the pg_wal of a server that has it, or go on behind it: "
		    "recovery_target_timeline = %u",
		    q->name.timeline);
	}
	q->name.timeline--;
	return rc;
}

/* A repository that is left out may have had a timeline that the others know nothing of. */
static void
note_history(const struct fetch_query *q, const char *name, int rc)
{
	const struct op *op = q->source->op;
	uint64_t sysid = q->source->sysid;

	if (rc == 0)
		histories_remember(op, sysid, name);
	else if (rc == ERR_NOT_FOUND && q->name.timeline > 1 && histories_know(op, sysid, name))
		log_write(op->log, LOG_WARN,
		    "this host has seen timeline %u in a repository, and those that are asked now do not have it: its number "
		    "may be "
		    "taken again",
		    q->name.timeline);
}

int
fetch_check_selection(const struct op *op, const struct fetch_options *o, struct err *err)
{
	const struct config *cfg = op->config;
	size_t asked = 0;

	for (size_t i = 0; i < cfg->n_repositories; i++) {
		bool selected;
		int rc = fetch_selected(op, &cfg->repositories[i], o, &selected, err);

		if (rc < 0)
			return rc;
		if (!selected)
			log_write(op->log, LOG_WARN, "repository '%s' is left out", cfg->repositories[i].name);
		asked += selected;
	}
	return asked > 0 ? 0 : err_set(err, ERR_CONFIG, 0, "no repository is left to ask");
}

int
fetch_parse_name(const char *name, struct wal_name *out, struct err *err)
{
	if (wal_name_parse(name, out))
		return 0;
	err_set(err, ERR_CONFIG, 0, "'%s' is not the name of a WAL file", name);
	return err_hint(err, "restore_command = 'pgcairn-wal-restore %%f %%p'");
}

static int
fetch_history_or_segment(struct fetch *f, struct fetch_query *q, const char *name, struct err *err)
{
	bool history = q->name.kind == WAL_NAME_HISTORY;
	int rc;

	if (history && q->name.timeline == 1) /* asked for at the end of every recovery */
		rc = err_set(err, ERR_NOT_FOUND, 0, "timeline 1 has no history");
	else
		rc = fetch_with_patience(q, f->target.path, err);
	if (rc == ERR_NOT_FOUND && history && q->name.timeline > 1 && q->name.timeline < UINT32_MAX)
		rc = check_hole(q, err);
	if (history)
		note_history(q, name, rc);
	if (rc == ERR_NOT_FOUND)
		fetch_target_tidy(&f->target);
	return rc;
}

int
fetch_file(const struct op *op, const struct fetch_options *o, const char *name, const char *path, struct err *err)
{
	struct fetch f = {.source = {0}};
	struct fetch_query q = {.source = &f.source, .deliver = deliver, .arg = &f};
	int rc = fetch_parse_name(name, &q.name, err);

	if (rc == 0)
		rc = fetch_target_init(&f.target, path, err);
	if (rc == 0)
		rc = fetch_source_open(&f.source, op, o, err);
	if (rc == 0)
		rc = fetch_history_or_segment(&f, &q, name, err);
	fetch_source_close(&f.source);
	return rc < 0 ? err_wrap(err, "fetch %s", name) : 0;
}
