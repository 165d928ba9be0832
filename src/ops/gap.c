#include "ops/gap.h"

#include <inttypes.h>

#include "base/fs.h"
#include "base/str.h"
#include "pg/control.h"
#include "repo/copy.h"
#include "repo/wal_object.h"

struct gap {
	const struct op *op;
	struct writer *writer;
	struct fanout *fanout;
	struct archive_source source;
	struct control control; /* of the server whose file it is */
	struct gap_record *record;
	struct gap_result *result;
};

/* A path, or a name of pg_wal. A new string in *path. */
static int
locate(const struct op *op, const char *segment, char **path, const char **name, struct err *err)
{
	const char *slash = strrchr(segment, '/');

	*name = slash != NULL ? slash + 1 : segment;
	*path = slash != NULL ? strdup(segment) : str_printf("%s/pg_wal/%s", op->cluster->pgdata, segment);
	return *path != NULL ? 0 : err_set(err, ERR_NOMEM, 0, "out of memory for a path");
}

/* It has to be the server's: by its place, or, for a copy that lies elsewhere, by what its first page says. */
static int
check_owner(const struct gap *g, struct err *err)
{
	const struct archive_source *s = &g->source;

	if (archive_source_is_in(s, g->op->cluster->pgdata))
		return 0;
	if (archive_source_is_segment(s) && s->sysid == g->control.sysid)
		return 0;
	err_set(err, ERR_REFUSED, 0, "'%s' is not in pg_wal of '%s', nor does it say that it is of that server", s->path,
	    g->op->cluster->pgdata);
	return err_hint(err, "only a file of the server itself can be given up: name it as it stands in pg_wal");
}

/* What archiving says to it. 0: it was refused, and that is in the record; ERR_REFUSED: it is fine. */
static int
ask_archiving(struct gap *g, struct err *err)
{
	struct archive_source *s = &g->source;
	const struct lineage_entry *e = repository_lineage(fanout_first(g->fanout), g->control.sysid);
	struct err why = {0};
	int rc = 0;

	if (e == NULL) {
		err_set(err, ERR_REFUSED, 0, "the server, system identifier %" PRIu64 ", is not of cluster '%s'",
		    g->control.sysid, g->op->cluster->name);
		return err_hint(err, "after pg_upgrade: pgcairn init --upgrade");
	}
	if (archive_source_is_segment(s) && s->sysid != g->control.sysid)
		rc = err_set(
		    &why, ERR_CORRUPT, 0, "it says that it is of the cluster with system identifier %" PRIu64, s->sysid);
	if (rc == 0)
		rc = archive_source_fits(s, e->segment_size, &why);
	if (rc == 0)
		rc = archive_source_pass(s, g->writer->comparison, NULL, &why);
	if (rc == ERR_CORRUPT) {
		(void)snprintf(g->record->refused, sizeof(g->record->refused), "%.500s", why.msg);
		return 0;
	}
	if (rc < 0) {
		*err = why;
		return rc;
	}
	err_set(err, ERR_REFUSED, 0, "'%s' can be archived: it is no gap", s->path);
	return err_hint(err, "let the server archive it; if other content holds its name: pgcairn conflict list");
}

static int
describe(struct gap *g, struct err *err)
{
	struct archive_source *s = &g->source;
	struct gap_record *r = g->record;
	int rc = archive_source_digest(s, g->writer->comparison, NULL, err);

	r->sysid = g->control.sysid;
	r->name = s->name;
	r->size = s->size;
	memcpy(r->content_id, s->content_id, CONTENT_ID);
	r->start = wal_segment_start(wal_name_segno(&s->name, g->control.wal_segment_size), g->control.wal_segment_size);
	r->end = r->start + g->control.wal_segment_size;
	return rc;
}

static int
name_of(const struct gap_record *r, const char *what, char out[OBJECT_NAME_MAX], struct err *err)
{
	return layout_gap(out, r->sysid, &r->name, r->content_id, what, err);
}

/* Both parts of it as one repository has them, whole and read; ERR_NOT_FOUND when it has not both. */
static int
open_both(struct repository *r, const struct gap_record *g, struct stored **bytes, struct stored **record, struct err *err)
{
	char name[OBJECT_NAME_MAX];
	int rc = name_of(g, LAYOUT_GAP_RECORD, name, err);

	if (rc == 0)
		rc = stored_open(record, r, name, OBJECT_RECORD, err);
	if (rc == 0)
		rc = name_of(g, LAYOUT_GAP_BYTES, name, err);
	if (rc == 0)
		rc = stored_open(bytes, r, name, OBJECT_QUARANTINE, err);
	return rc < 0 ? rc : stored_check(*bytes, err);
}

static int
settle_both(struct repository *r, const struct gap_record *g, struct err *err)
{
	char name[OBJECT_NAME_MAX];
	int rc = name_of(g, LAYOUT_GAP_BYTES, name, err);

	if (rc == 0)
		rc = repository_settle(r, name, err);
	if (rc == 0)
		rc = name_of(g, LAYOUT_GAP_RECORD, name, err);
	return rc < 0 ? rc : repository_settle(r, name, err);
}

/* The targets that have it are done. have: one of them, as it stands there. */
static size_t
look(struct fanout *f, const struct gap_record *g, struct stored **bytes, struct stored **record)
{
	size_t found = 0;

	for (size_t i = 0; i < f->n; i++) {
		struct fanout_target *t = &f->targets[i];
		STORED_AUTO struct stored *b = NULL, *r = NULL;
		struct err why;
		int rc;

		t->done = false;
		if (t->failed)
			continue;
		rc = open_both(t->repo, g, &b, &r, &why);
		if (rc == 0)
			rc = settle_both(t->repo, g, &why);
		if (rc < 0 && rc != ERR_NOT_FOUND)
			fanout_fail(f, i, &why);
		if (rc < 0)
			continue;
		t->done = true;
		found++;
		if (*record == NULL) {
			*bytes = STEAL(b);
			*record = STEAL(r);
		}
	}
	return found;
}

/* The bytes to every target; one that has them from a try that was killed keeps those. */
static int
put_bytes(struct gap *g, struct err *err)
{
	WRITER_OBJECT_AUTO struct writer_object o = {0};
	BUF_AUTO struct buf clear = {0}, sealed = {0};
	char name[OBJECT_NAME_MAX], file[WAL_NAME_MAX];
	struct epoch epoch;
	int rc = name_of(g->record, LAYOUT_GAP_BYTES, name, err);

	wal_name_format(file, &g->record->name);
	if (rc == 0)
		rc = writer_new_epoch(g->writer, g->fanout, "gap", &epoch, err);
	if (rc == 0)
		rc = writer_start(g->writer, g->fanout, &o, OBJECT_QUARANTINE, name, &epoch, NULL, g->op->pool, err);
	if (rc == 0)
		rc = archive_source_digest(&g->source, g->writer->comparison, o.object, err);
	if (rc == 0 && memcmp(g->source.content_id, g->record->content_id, CONTENT_ID) != 0)
		rc = err_set(err, ERR_RETRY, 0, "'%s' changed while it was read", g->source.path);
	if (rc == 0)
		rc = wal_object_encode(NULL, g->record->content_id, g->source.size, file, &clear, &sealed, err);
	return rc < 0 ? rc : object_writer_finish(o.object, &clear, &sealed, NULL, err);
}

/* Nobody has it: encode once to all, bytes first. */
static int
put_new(struct gap *g, struct err *err)
{
	JSON_AUTO json_t *o = json_object();
	char name[OBJECT_NAME_MAX];
	int rc = put_bytes(g, err);

	if (rc == 0)
		rc = gap_record_encode(g->record, o, err);
	if (rc == 0)
		rc = name_of(g->record, LAYOUT_GAP_RECORD, name, err);
	if (rc == 0)
		rc = fanout_put_record(g->fanout, name, OBJECT_RECORD, o, &g->writer->signing, err);
	for (size_t i = 0; rc == 0 && i < g->fanout->n; i++) {
		struct fanout_target *t = &g->fanout->targets[i];
		struct err why;

		if (!t->failed && settle_both(t->repo, g->record, &why) < 0)
			fanout_fail(g->fanout, i, &why);
		g->result->stored += t->done;
	}
	return rc;
}

/* As one repository has it, into the others: one decision, one record. */
static int
complete(struct gap *g, struct stored *bytes, struct stored *record, struct err *err)
{
	char name[OBJECT_NAME_MAX];
	int rc = gap_record_decode(g->record, record->clear, err);

	for (size_t i = 0; rc == 0 && i < g->fanout->n; i++) {
		struct fanout_target *t = &g->fanout->targets[i];
		struct err why;
		int one;

		if (t->failed || t->done)
			continue;
		one = name_of(g->record, LAYOUT_GAP_BYTES, name, &why);
		if (one == 0)
			one = object_copy(bytes, t->repo, name, &why);
		if (one == 0 || one == ERR_EXISTS)
			one = name_of(g->record, LAYOUT_GAP_RECORD, name, &why);
		if (one == 0)
			one = object_copy(record, t->repo, name, &why);
		if (one == ERR_EXISTS)
			one = settle_both(t->repo, g->record, &why);
		t->done = one == 0;
		g->result->stored += one == 0;
		if (one < 0)
			fanout_fail(g->fanout, i, &why);
	}
	return rc;
}

static int
store(struct gap *g, bool dry_run, struct err *err)
{
	STORED_AUTO struct stored *bytes = NULL, *record = NULL;
	int rc;

	g->result->existed = look(g->fanout, g->record, &bytes, &record);
	if (dry_run)
		return record != NULL ? gap_record_decode(g->record, record->clear, err) : 0;
	rc = record != NULL ? complete(g, bytes, record, err) : put_new(g, err);
	return rc < 0 ? rc : op_acknowledged(g->op, g->fanout, err);
}

static int
open_source(struct gap *g, const char *path, const char *name, struct err *err)
{
	int rc = archive_source_open(&g->source, path, name, err);

	if (rc < 0 && g->source.fd < 0)
		return rc;
	if (g->source.name.kind == WAL_NAME_HISTORY) {
		err_set(err, ERR_REFUSED, 0, "'%s': a timeline's history cannot be given up", name);
		return err_hint(
		    err, "without it a promotion may reuse the timeline; it is text: compare it with the other servers'");
	}
	/* a size that no file of its kind has is a reason to give it up, not to fail */
	return rc == ERR_CORRUPT && g->source.size <= UINT64_C(1) << 30 ? 0 : rc;
}

static int
run(struct gap *g, const struct gap_options *o, struct err *err)
{
	FREE_AUTO char *path = NULL;
	const char *name;
	int rc = op_become_owner(g->op, err);

	if (rc == 0)
		rc = control_read_pgdata(g->op->cluster->pgdata, &g->control, err);
	if (rc == 0)
		rc = locate(g->op, o->segment, &path, &name, err);
	if (rc == 0)
		rc = open_source(g, path, name, err);
	if (rc == 0)
		rc = check_owner(g, err);
	if (rc == 0)
		rc = op_open_writer(g->op, &g->writer, err);
	if (rc == 0)
		rc = op_open_fanout(g->op, g->writer, &g->fanout, err);
	if (rc == 0)
		rc = ask_archiving(g, err);
	if (rc == 0)
		rc = describe(g, err);
	return rc < 0 ? rc : store(g, o->dry_run, err);
}

int
gap_record(const struct op *op, const struct gap_options *o, struct gap_result *result, struct err *err)
{
	struct gap g = {.op = op, .result = result, .record = &result->record, .source = {.fd = -1}};
	int rc;

	memset(result, 0, sizeof(*result));
	rc = decision_make(&result->record.decision, o->reason, err);
	if (rc == 0)
		rc = run(&g, o, err);
	archive_source_close(&g.source);
	fanout_free(g.fanout);
	writer_free(g.writer);
	return rc < 0 ? err_wrap(err, "gap %s", o->segment) : 0;
}

size_t
gap_accepts(const struct op *op, struct fanout *f, struct archive_source *source, const struct secret *comparison,
    struct gap_record *found)
{
	STORED_AUTO struct stored *bytes = NULL, *record = NULL;
	struct control control;
	size_t n;

	if (op->cluster->pgdata == NULL || control_read_pgdata(op->cluster->pgdata, &control, NULL) < 0 ||
	    archive_source_digest(source, comparison, NULL, NULL) < 0)
		return 0;
	memset(found, 0, sizeof(*found));
	found->sysid = control.sysid;
	found->name = source->name;
	memcpy(found->content_id, source->content_id, CONTENT_ID);
	n = look(f, found, &bytes, &record);
	return record != NULL && gap_record_decode(found, record->clear, NULL) == 0 ? n : 0;
}

static int
add_rows(struct repository *r, const char *repository, void *arg, struct err *err)
{
	struct gap_rows *rows = arg;

	for (size_t i = 0; i < r->n_lineage; i++) {
		GAP_SET_AUTO struct gap_set set = {0};
		struct gap_row *more;
		int rc = gap_set_read(&set, r, r->lineage[i].sysid, NULL, err);

		if (rc < 0)
			return rc;
		more = realloc(rows->list, (rows->n + set.n + 1) * sizeof(*more));
		if (more == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for gaps");
		rows->list = more;
		for (size_t k = 0; k < set.n; k++) {
			char relative[OBJECT_NAME_MAX];
			struct store_stat st;

			rc = layout_wal(relative, set.list[k].sysid, &set.list[k].name, err);
			if (rc == 0)
				rc = repository_stat(r, relative, &st, err);
			if (rc < 0 && rc != ERR_NOT_FOUND)
				return rc;
			rows->list[rows->n++] = (struct gap_row){set.list[k], repository, rc == 0};
		}
	}
	return 0;
}

int
gap_list(const struct op *op, struct gap_rows *rows, struct err *err)
{
	int rc;

	*rows = (struct gap_rows){0};
	rc = survey_run(&rows->survey, op, add_rows, rows, err);
	if (rc < 0)
		gap_rows_free(rows);
	return rc;
}

void
gap_rows_free(struct gap_rows *rows)
{
	free(rows->list);
	survey_free(&rows->survey);
	*rows = (struct gap_rows){0};
}
