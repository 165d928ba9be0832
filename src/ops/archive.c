#include "ops/archive.h"

#include "base/str.h"
#include "ops/archive_source.h"
#include "ops/conflict.h"
#include "ops/gap.h"
#include "ops/histories.h"
#include "pg/control.h"
#include "repo/copy.h"
#include "repo/wal_object.h"

struct archive {
	const struct op *op;
	struct writer *writer;
	struct fanout *fanout;
	struct object_slots *slots; /* may be NULL */
	const uint8_t *content_id;  /* what the file must hold; NULL: whatever it is */
	struct archive_source source;
	char relative[OBJECT_NAME_MAX];
	bool passed; /* the source was read and its content id is known */
	struct archive_result result;
};

/* A segment that names a cluster nobody knows: damage, where our own server has it under this name, else another server's. */
static int
unknown_cluster(const struct archive *a, const struct repository *r, struct err *err)
{
	const struct archive_source *s = &a->source;
	const char *pgdata = a->op->cluster->pgdata;
	struct control control;

	if (pgdata != NULL && archive_source_is_segment(s) && control_read_pgdata(pgdata, &control, NULL) == 0 &&
	    repository_lineage(r, control.sysid) != NULL && archive_source_is_in(s, pgdata))
		return err_set(err, ERR_CORRUPT, 0, "'%s' says that it is of the cluster with system identifier %llu, not %llu",
		    s->path, (unsigned long long)s->sysid, (unsigned long long)control.sysid);
	err_set(err, ERR_REFUSED, 0, "'%s' is of the cluster with system identifier %llu, which is not cluster '%s'", s->path,
	    (unsigned long long)s->sysid, a->op->cluster->name);
	return err_hint(
	    err, "is archive_command of another server set to this configuration? after pg_upgrade: pgcairn init --upgrade");
}

/* Segments name their cluster themselves; the small files are believed to be of the cluster that is configured. */
static int
find_cluster(struct archive *a, struct err *err)
{
	struct archive_source *s = &a->source;
	const struct repository *r = fanout_first(a->fanout);
	const struct lineage_entry *e;
	int rc = 0;

	if (!archive_source_is_segment(s)) {
		struct control control;

		rc = op_need_pgdata(a->op, err);
		if (rc == 0)
			rc = control_read_pgdata(a->op->cluster->pgdata, &control, err);
		if (rc < 0)
			return rc;
		s->sysid = control.sysid;
	}
	e = repository_lineage(r, s->sysid);
	if (e == NULL)
		return unknown_cluster(a, r, err);
	rc = archive_source_fits(s, e->segment_size, err);
	return rc < 0 ? rc : layout_wal(a->relative, s->sysid, &s->name, err);
}

/* Read the source once for its content id where nothing has done so yet. */
static int
need_content_id(struct archive *a, struct err *err)
{
	int rc = a->passed ? 0 : archive_source_pass(&a->source, a->writer->comparison, NULL, err);

	if (rc == 0)
		a->passed = true;
	return rc;
}

static int
start_object(struct archive *a, struct writer_object *o, const char *at, const bool *skip, struct err *err)
{
	struct archive_source *s = &a->source;
	uint64_t segno = s->name.kind == WAL_NAME_HISTORY ? 0 : wal_name_segno(&s->name, s->segment_size);
	struct epoch epoch;
	int rc = 0;

	if (s->kind != OBJECT_TIMELINE_HISTORY)
		rc = writer_wal_epoch(a->writer, a->fanout, &epoch, s->sysid, s->name.timeline, segno, err);
	if (rc == 0)
		rc = writer_start(a->writer, a->fanout, o, s->kind, at, &epoch, skip, a->op->pool, err);
	return rc;
}

/* Encode the file to every target that is not skipped, under the name at. */
static int
encode(struct archive *a, const char *at, const bool *skip, struct err *err)
{
	WRITER_OBJECT_AUTO struct writer_object o = {.slots = a->slots};
	BUF_AUTO struct buf clear = {0}, sealed = {0};
	struct archive_source *s = &a->source;
	int rc = start_object(a, &o, at, skip, err);

	if (rc == 0)
		rc = archive_source_pass(s, a->writer->comparison, o.object, err);
	if (rc < 0)
		return rc;
	a->passed = true;
	if (a->content_id != NULL && memcmp(a->content_id, s->content_id, CONTENT_ID) != 0)
		return err_set(err, ERR_REFUSED, 0, "'%s' does not hold what was archived under this name", s->path);
	rc = wal_object_encode(
	    archive_source_is_segment(s) ? &s->summary : NULL, s->content_id, s->size, s->file_name, &clear, &sealed, err);
	/* here the segment becomes durable and visible, repository by repository */
	return rc < 0 ? rc : object_writer_finish(o.object, &clear, &sealed, NULL, err);
}

/*
 * Our content goes under conflict/ in the one repository that holds other content. Its header bears that name: nobody who can
 * move files can put it in the place of the first copy. Best effort: the error is told anyway.
 */
static int
keep_conflict(struct archive *a, size_t target, struct err *err)
{
	FREE_AUTO bool *skip = calloc(a->fanout->n + 1, sizeof(bool));
	char at[OBJECT_NAME_MAX];
	struct store_stat st;
	struct err why;
	int rc;

	if (skip == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory");
	for (size_t i = 0; i < a->fanout->n; i++)
		skip[i] = i != target;
	rc = layout_conflict(at, a->relative, a->source.content_id, &why);
	if (rc == 0 && repository_stat(a->fanout->targets[target].repo, at, &st, NULL) < 0) /* else kept at an earlier try */
		rc = encode(a, at, skip, &why);
	a->fanout->targets[target].done = false;
	err_set(err, ERR_CONFLICT, 0, "repository '%s' holds other content under the name '%s'",
	    a->fanout->targets[target].name, a->source.file_name);
	err_hint(err,
	    "%s; two servers archive to one place? see: pgcairn conflict show %s, and stop the one that is not the cluster",
	    rc == 0 ? "the first copy stays in service, this one is kept under conflict/" : "the first copy stays in service",
	    a->source.file_name);
	return ERR_CONFLICT;
}

/*
 * An object that is counted has to be one that can be read: its frames as they were written, and the key that opens it in the
 * same repository. Its writer may have been another host, and years may lie between.
 */
static int
check_whole(const struct fanout_target *t, struct stored *s, struct err *err)
{
	struct store_stat st;
	char name[OBJECT_NAME_MAX];
	int rc = stored_check(s, err);

	if (rc < 0 || s->index->header.cipher == OBJECT_CIPHER_NONE)
		return rc;
	rc = layout_epoch_key(name, s->index->header.key_id, 0, err);
	if (rc == 0)
		rc = repository_stat(t->repo, name, &st, err);
	if (rc != ERR_NOT_FOUND)
		return rc;
	err_set(
	    err, ERR_CORRUPT, 0, "repository '%s' has lost the key '%s', so that nobody can read '%s'", t->name, name, s->key);
	return err_hint(err, "copy the key from another repository, or move the object away: the next try stores it again");
}

/* A target that has an object of this name: the same content is success, durable before we say so. The content id of our file
 * must be known. */
static int
compare(struct archive *a, size_t i, struct stored **have, struct err *err)
{
	struct fanout_target *t = &a->fanout->targets[i];
	STORED_AUTO struct stored *s = NULL;
	uint8_t theirs[CONTENT_ID];
	int rc = stored_open(&s, t->repo, a->relative, a->source.kind, err);

	if (rc == ERR_CORRUPT)
		err_hint(err, "it is damaged: move it out of the repository, and the next try stores it again");
	if (rc == 0)
		rc = wal_object_content_id(s->clear, theirs, err);
	if (rc < 0)
		return rc;
	if (memcmp(theirs, a->source.content_id, CONTENT_ID) != 0)
		return keep_conflict(a, i, err);
	rc = check_whole(t, s, err);
	if (rc == 0)
		rc = repository_settle(t->repo, a->relative, err);
	if (rc < 0)
		return rc;
	t->done = true;
	a->result.existed++;
	if (have != NULL && *have == NULL)
		*have = STEAL(s);
	return 0;
}

/* Which targets have the name already? have: one whose object is the same as our file. */
static int
look(struct archive *a, struct stored **have, struct err *err)
{
	for (size_t i = 0; i < a->fanout->n; i++) {
		struct fanout_target *t = &a->fanout->targets[i];
		struct store_stat st;
		struct err why;
		int rc;

		if (t->failed)
			continue;
		rc = repository_stat(t->repo, a->relative, &st, &why);
		if (rc == 0) {
			/* a file that is not what it says, or a conflict, is no matter of one repository */
			rc = need_content_id(a, err);
			if (rc < 0)
				return rc;
			rc = compare(a, i, have, &why);
			if (rc == ERR_CONFLICT) {
				*err = why;
				return rc;
			}
		}
		if (rc < 0 && rc != ERR_NOT_FOUND)
			fanout_fail(a->fanout, i, &why);
	}
	return 0;
}

/* A retry completes the other repositories by copying the stored object, not by encoding again. */
static int
copy_object(struct archive *a, struct stored *have, size_t i, struct err *err)
{
	struct fanout_target *t = &a->fanout->targets[i];
	int rc = object_copy(have, t->repo, a->relative, err);

	if (rc == ERR_EXISTS)
		return compare(a, i, NULL, err);
	if (rc == 0) {
		t->done = true;
		a->result.stored++;
	}
	return rc;
}

static int
complete(struct archive *a, struct stored *have, struct err *err)
{
	for (size_t i = 0; i < a->fanout->n; i++) {
		struct err why;
		int rc;

		if (a->fanout->targets[i].failed || a->fanout->targets[i].done)
			continue;
		rc = copy_object(a, have, i, &why);
		if (rc == ERR_CONFLICT) {
			*err = why;
			return rc;
		}
		if (rc < 0)
			fanout_fail(a->fanout, i, &why);
	}
	return 0;
}

/* A major that is newer than this program may not fill pg_wal, so its segments are taken as they are; nobody should rely on it.
 */
static void
warn_unverified(const struct archive *a)
{
	const struct wal_summary *s = &a->source.summary;

	if (s->magic != 0 && !s->verified)
		log_write(a->op->log, LOG_WARN,
		    "'%s' is stored unverified: its page magic %04X is of a newer PostgreSQL than this program knows",
		    a->relative, (unsigned)s->magic);
}

/* Nobody has it: encode once to all. Whoever was faster in the meantime is compared with. */
static int
store_new(struct archive *a, struct err *err)
{
	int rc = encode(a, a->relative, NULL, err);

	if (rc == 0)
		warn_unverified(a);
	for (size_t i = 0; rc == 0 && i < a->fanout->n; i++) {
		struct fanout_target *t = &a->fanout->targets[i];
		struct err why;

		if (t->done)
			a->result.stored++;
		if (t->failed || !t->existed)
			continue;
		rc = compare(a, i, NULL, &why);
		if (rc == ERR_CONFLICT)
			*err = why;
		else if (rc < 0) {
			fanout_fail(a->fanout, i, &why);
			rc = 0;
		}
	}
	return rc;
}

/*
 * A file that is not what it should be is refused for good, unless exactly this content was given up. That is looked for only
 * here, so that it costs nothing where all is well.
 */
static int
refuse(struct archive *a, int rc, struct err *err)
{
	struct gap_record gap;
	char why[DECISION_TEXT], hint[sizeof(err->hint)];
	struct err lacking;
	size_t n;

	if ((rc != ERR_CORRUPT && rc != ERR_REFUSED) || a->source.name.kind == WAL_NAME_HISTORY)
		return rc;
	n = gap_accepts(a->op, a->fanout, &a->source, a->writer->comparison, &gap);
	if (n > 0 && op_acknowledged(a->op, a->fanout, &lacking) == 0) {
		decision_describe(&gap.decision, why);
		log_write(
		    a->op->log, LOG_WARN, "%s is a recorded gap %s; archiving goes on without it", a->source.file_name, why);
		return 0;
	}
	if (rc == ERR_REFUSED) /* another server's: nothing of ours is given up */
		return rc;
	(void)snprintf(hint, sizeof(hint), "%.200s%s%s pgcairn gap record %s --reason TEXT", err->hint,
	    err->hint[0] != '\0' ? "; " : "",
	    n > 0 ? "it was given up, and not every repository knows it:"
		  : "a good copy, from a standby perhaps, can be archived under the name; else archiving goes on without it "
		    "after:",
	    a->source.file_name);
	memcpy(err->hint, hint, sizeof(hint));
	return rc;
}

/* Content that came too late: what was decided about it? It goes on only where it was released. */
static int
refuse_conflict(struct archive *a, struct err *err)
{
	struct conflict_record record;
	char why[DECISION_TEXT];
	struct err lacking;
	bool decided;

	if (conflict_accepts(a->fanout, a->relative, a->source.content_id, &decided, &record) > 0 &&
	    op_acknowledged(a->op, a->fanout, &lacking) == 0) {
		log_write(a->op->log, LOG_WARN, "%s: other content is in service and this one was released; archiving goes on",
		    a->source.file_name);
		return 0;
	}
	if (!decided)
		return ERR_CONFLICT;
	decision_describe(&record.decision, why);
	err_set(err, ERR_CONFLICT, 0, "'%s' was decided against %s", a->source.file_name, why);
	return err_hint(err,
	    "this server is not the one that is archived: stop its archiving and make it anew from a backup, or by pg_rewind");
}

static int
run(struct archive *a, struct err *err)
{
	STORED_AUTO struct stored *have = NULL;
	int rc;

	if (fanout_alive(a->fanout) == 0)
		return op_acknowledged(a->op, a->fanout, err);
	rc = find_cluster(a, err);

	if (rc == 0)
		rc = writer_settle(a->writer, a->fanout, err);
	if (rc == 0)
		rc = look(a, &have, err);
	if (rc == 0)
		rc = have != NULL ? complete(a, have, err) : store_new(a, err);
	if (rc == 0)
		return op_acknowledged(a->op, a->fanout, err);
	if (a->content_id != NULL) /* what was decided about another content brings nobody the one that is wanted */
		return rc;
	return rc == ERR_CONFLICT ? refuse_conflict(a, err) : refuse(a, rc, err);
}

/* The work itself, once source, writer and targets are open (rc 0), and the end of the source. */
static int
finish(struct archive *a, int rc, const char *name, struct archive_result *result, struct err *err)
{
	if (rc == 0)
		rc = run(a, err);
	if (a->source.kind == OBJECT_TIMELINE_HISTORY && a->fanout != NULL &&
	    (rc == 0 || rc == ERR_CONFLICT)) /* taken, by us or by another */
		histories_remember(a->op, a->source.sysid, a->source.file_name);
	archive_source_close(&a->source);
	a->result.sysid = a->source.sysid;
	if (rc == 0 && result != NULL)
		*result = a->result;
	return rc < 0 ? err_wrap(err, "archive %s", name) : 0;
}

int
archive_to(const struct op *op, const struct archive_means *m, const char *path, const char *name,
    struct archive_result *result, struct err *err)
{
	struct archive a = {.op = op, .writer = m->writer, .fanout = m->fanout, .slots = m->slots, .content_id = m->content_id};

	return finish(&a, archive_source_open(&a.source, path, name, err), name, result, err);
}

int
archive_file(const struct op *op, const char *path, const char *name, struct archive_result *result, struct err *err)
{
	WRITER_AUTO struct writer *writer = NULL;
	FANOUT_AUTO struct fanout *fanout = NULL;
	struct archive a = {.op = op};
	int rc = archive_source_open(&a.source, path, name, err);

	if (rc == 0)
		rc = op_open_writer(op, &writer, err);
	if (rc == 0)
		rc = op_open_fanout(op, writer, &fanout, err);
	a.writer = writer;
	a.fanout = fanout;
	rc = finish(&a, rc, name, result, err);
	for (size_t i = 0; fanout != NULL && i < fanout->n; i++)
		if (fanout->targets[i].failed && fanout->targets[i].repo != NULL)
			log_err(op->log, LOG_WARN, &fanout->targets[i].err);
	return rc;
}
