/* The order of a backup's work. What each step does is in backup_server.c, backup_take.c and backup_wal.c. */
#include "ops/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "ops/backup_collation.h"
#include "ops/backup_wal.h"
#include "ops/owner.h"
#include "ops/stop.h"
#include "ops/wal_index.h"

#define INDEXES_MAX 64 /* in each repository at the end of a backup: some seconds of work */
#define CONFIG_PIECE ((size_t)64 << 10)
#define CONFIG_FILE_MAX ((uint64_t)64 << 20) /* a file of settings that is larger is none */

/* One backup of a cluster at a time on this host. The file stays: removing it would let a third one in beside the second. */
static int
lock(const struct op *op, const struct owner *owner, int *out, struct err *err)
{
	FREE_AUTO char *path = str_printf("%s/%s.backup.lock", op->config->run_directory, op->cluster->name);
	FD_AUTO int fd = -1;
	int rc;

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	rc = owner_make_dirs(owner, op->config->run_directory, 0750, err);
	if (rc == 0 && geteuid() == 0)
		rc = owner_become(owner, "PGDATA", err);
	if (rc < 0)
		return rc;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(err, ERR_IO, errno, "open '%s'", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_set(err, ERR_IO, errno, "lock '%s'", path);
		return err_set(err, ERR_REFUSED, 0, "another backup of cluster '%s' runs on this host", op->cluster->name);
	}
	*out = fd;
	fd = -1;
	return 0;
}

/* 20260131T145900Z-3f2a: for people. Order never comes from it, and the digits keep two hosts apart. */
static void
make_label(char out[LAYOUT_LABEL_MAX], int64_t now_us)
{
	char text[32], packed[32];
	uint8_t random[2];
	size_t n = 0;

	clock_format_utc(text, sizeof(text), now_us - now_us % 1000000);
	for (const char *p = text; *p != '\0'; p++)
		if (*p != '-' && *p != ':')
			packed[n++] = *p;
	packed[n] = '\0';
	clock_random(random, sizeof(random));
	(void)snprintf(out, LAYOUT_LABEL_MAX, "%s-%02x%02x", packed, random[0], random[1]);
}

/* The server on the replication connection must be the one of the SQL session, of PGDATA, and of the repositories. */
static int
check_identity(struct backup *b, struct err *err)
{
	const struct control *c = &b->server.control;
	struct manifest_head *h = &b->result->head;
	int rc = basebackup_identify(b->stream, &b->identity, err);

	if (rc < 0)
		return rc;
	if (b->identity.system_identifier != c->sysid || b->identity.wal_segment_size != c->wal_segment_size)
		return err_set(err, ERR_REFUSED, 0, "the server that streams is not the one of '%s'", b->server.pgdata);
	for (size_t i = 0; i < b->fanout->n; i++) {
		struct fanout_target *t = &b->fanout->targets[i];
		const struct lineage_entry *e;
		struct err why;

		if (t->failed)
			continue;
		e = repository_lineage(t->repo, c->sysid);
		if (e != NULL && e->segment_size == c->wal_segment_size)
			continue;
		err_set(&why, ERR_REFUSED, 0,
		    "the server with system identifier %llu is not the cluster '%s' of the repository",
		    (unsigned long long)c->sysid, b->op->cluster->name);
		err_hint(&why, "after pg_upgrade: pgcairn init --upgrade");
		fanout_fail(b->fanout, i, &why);
	}
	h->sysid = c->sysid;
	h->segment_size = c->wal_segment_size;
	h->data_checksums = c->data_checksum_version != 0;
	h->major = pg_conn_major(b->stream);
	h->server_version = pg_conn_version(b->stream);
	h->from_standby = b->server.in_recovery;
	return backup_somebody_left(b, err);
}

static void
on_notice(const struct pg_notice *n, void *arg)
{
	const struct backup *b = arg;
	bool is_warning = strcmp(n->severity, "WARNING") == 0;

	log_write(b->op->log, is_warning ? LOG_WARN : LOG_DEBUG, "server: %s%s%s", n->message, n->detail[0] != '\0' ? ": " : "",
	    n->detail);
}

static int
on_interrupt(void *arg, struct err *err)
{
	return backup_interrupted(arg, err);
}

static int
open_server(struct backup *b, struct err *err)
{
	const struct pg_conn_options o = {
	    .conninfo = b->op->cluster->conninfo, .replication = true, .notice = on_notice, .notice_arg = b};
	int rc = backup_server_open(&b->server, b->op, err);

	b->interrupt = (struct pg_interrupt){on_interrupt, b};
	if (rc == 0)
		rc = pg_conn_open(&b->stream, &o, err);
	return rc < 0 ? rc : check_identity(b, err);
}

/* Read one configuration file into the packs. */
static int
take_config_bytes(struct backup *b, int fd, const struct backup_file *file, struct err *err)
{
	const char *path = file->path;
	FREE_AUTO uint8_t *piece = malloc(CONFIG_PIECE);
	struct stat st;
	size_t got;
	int rc;

	if (piece == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for '%s'", path);
	if (fstat(fd, &st) < 0)
		return err_set(err, ERR_IO, errno, "stat '%s'", path);
	rc = backup_file_begin(b, MANIFEST_CONFIG, path, st.st_mode & 07777, st.st_mtim.tv_sec, err);
	if (rc == 0)
		rc = str_copy(b->entry.setting, sizeof(b->entry.setting), file->setting, "setting", err);
	do {
		if (rc == 0)
			rc = fs_read_upto(fd, piece, CONFIG_PIECE, &got, path, err);
		if (rc == 0 && got > 0)
			rc = backup_file_data(b, piece, got, err);
		if (rc == 0 && b->entry.size > CONFIG_FILE_MAX)
			rc = err_set(err, ERR_CONFIG, 0, "the configuration file '%s' is too large", path);
	} while (rc == 0 && got > 0);
	return rc < 0 ? rc : backup_file_end(b, err);
}

/* What configures the server from outside PGDATA. One that cannot be read is missed loudly and ends nothing. */
static int
take_configs(struct backup *b, struct err *err)
{
	for (size_t i = 0; i < b->server.n_files; i++) {
		const char *path = b->server.files[i].path;
		FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		struct stat st;
		int rc;

		if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
			log_write(b->op->log, LOG_WARN, "configuration file '%s' is not in this backup: %s", path,
			    fd < 0 ? strerror(errno) : "not a regular file");
			continue;
		}
		rc = take_config_bytes(b, fd, &b->server.files[i], err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Last of all: from here on the backup exists. */
static int
publish(struct backup *b, struct err *err)
{
	struct manifest_head *h = &b->result->head;
	BUF_AUTO struct buf clear = {.max = OBJECT_PART_MAX}, sealed = {.max = OBJECT_PART_MAX};
	struct object_result object;
	int rc;

	h->files = b->counts.files;
	h->bad_pages = b->counts.bad_pages;
	buf_reset(&b->line);
	rc = manifest_end_encode(&b->counts, &b->line, err);
	if (rc == 0)
		rc = object_writer_write(b->manifest.object, b->line.data, b->line.len, err);
	if (rc == 0)
		rc = manifest_head_encode(h, &clear, err);
	if (rc == 0)
		rc = backup_collation(b->server.sql, &sealed, err);
	if (rc == 0)
		rc = object_writer_finish(b->manifest.object, &clear, &sealed, &object, err);
	if (rc < 0)
		return err_wrap(err, "the manifest");
	b->result->stored = pack_writer_stored(b->packs) + object.stored;
	for (size_t i = 0; i < b->fanout->n; i++) {
		struct err why;

		if (b->fanout->targets[i].failed || b->fanout->targets[i].done)
			continue;
		err_set(&why, ERR_EXISTS, 0, "a manifest of backup '%s' is there already", h->label);
		fanout_fail(b->fanout, i, &why);
	}
	return backup_somebody_left(b, err);
}

/* The rows of WAL that were closed since the last backup. Nothing depends on it, and an old repository catches up in steps. */
static void
index_wal(struct backup *b)
{
	const struct wal_index_options o = {.max = INDEXES_MAX};

	for (size_t i = 0; i < b->fanout->n; i++) {
		struct fanout_target *t = &b->fanout->targets[i];
		struct wal_index_result done;
		struct err why;

		if (!t->failed && wal_index_write(t->repo, b->writer, &o, &done, &why) < 0)
			log_err(b->op->log, LOG_WARN, &why);
	}
}

static int
take(struct backup *b, struct err *err)
{
	struct manifest_head *h = &b->result->head;
	struct err why;
	int rc;

	h->start_time_us = clock_now_us();
	rc = backup_take(b, err);
	if (rc == 0)
		rc = take_configs(b, err);
	if (rc == 0)
		rc = pack_writer_finish(b->packs, &h->packs, &h->n_packs, err);
	h->stop_time_us = clock_now_us();
	if (rc == 0)
		rc = backup_wal_wait(b, err);
	if (rc == 0)
		rc = backup_interrupted(b, err);
	if (rc == 0)
		rc = publish(b, err);
	backup_tell_failed(b);
	if (rc < 0)
		return err_wrap(err, "backup %s", h->label);
	if (writer_end_wal_epoch(b->writer, &why) < 0) /* it ends by itself in a day */
		log_err(b->op->log, LOG_WARN, &why);
	index_wal(b);
	return 0;
}

/* For a dry run. Needs rights that the role may not have: then there is no estimate. */
static uint64_t
estimate(struct backup *b)
{
	FREE_AUTO char *text = NULL;
	uint64_t size = 0;

	if (pg_conn_query_value(b->server.sql,
		"SELECT pg_catalog.sum(pg_catalog.pg_tablespace_size(oid)) FROM pg_catalog.pg_tablespace", 0, NULL, &text,
		NULL) < 0 ||
	    !str_to_u64(text, 0, INT64_MAX, &size))
		return 0;
	return size;
}

static int
run(struct backup *b, struct err *err)
{
	struct manifest_head *h = &b->result->head;
	int rc = op_open_writer(b->op, &b->writer, err);

	if (rc == 0)
		rc = op_open_fanout(b->op, b->writer, &b->fanout, err);
	if (rc < 0)
		return rc;
	b->told = calloc(b->fanout->n + 1, sizeof(*b->told));
	b->result->bad_pages = calloc(BACKUP_BAD_PAGES_KEPT, sizeof(*b->result->bad_pages));
	if (b->told == NULL || b->result->bad_pages == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a backup");
	for (size_t i = 0; i < b->fanout->n; i++)
		b->told[i] = b->fanout->targets[i].failed; /* when it was opened */
	rc = open_server(b, err);
	make_label(h->label, clock_now_us());
	if (rc < 0 || !b->options->dry_run)
		return rc < 0 ? rc : take(b, err);
	h->size = estimate(b);
	h->start_timeline = b->identity.timeline;
	h->start_lsn = b->identity.flushed;
	return 0;
}

/* Who has it, said while the fan-out is still there. */
static int
report(struct backup *b, bool done, struct err *err)
{
	struct backup_result *r = b->result;

	if (b->fanout == NULL)
		return 0;
	r->repositories = calloc(b->fanout->n + 1, sizeof(*r->repositories));
	if (r->repositories == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a report");
	for (size_t i = 0; i < b->fanout->n; i++) {
		const struct fanout_target *t = &b->fanout->targets[i];

		r->repositories[i] = (struct backup_repository){.name = t->name, .complete = done && !t->failed, .err = t->err};
		r->n_complete += r->repositories[i].complete;
	}
	r->n_repositories = b->fanout->n;
	return 0;
}

static void
release(struct backup *b)
{
	writer_object_free(&b->manifest);
	pack_writer_free(b->packs);
	pg_conn_close(b->stream);
	backup_server_close(&b->server);
	backup_pages_free(&b->pages);
	backup_check_free(b->check);
	server_manifest_free(b->listed);
	buf_free(&b->line);
	buf_free(&b->label);
	free(b->entry.runs);
	free(b->told);
	fanout_free(b->fanout);
	writer_free(b->writer);
	free(b);
}

int
backup_run(const struct op *op, const struct backup_options *o, struct backup_result *result, struct err *err)
{
	struct backup *b = calloc(1, sizeof(*b));
	FD_AUTO int locked = -1;
	struct owner owner;
	struct err why;
	int rc;

	memset(result, 0, sizeof(*result));
	if (b == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a backup");
	b->op = op;
	b->options = o;
	b->result = result;
	rc = stop_check(op, NULL, err);
	if (rc < 0)
		(void)err_wrap(err, "a backup needs its WAL archived");
	if (rc == 0)
		rc = op_need_pgdata(op, err);
	if (rc == 0)
		rc = owner_of(&owner, op->cluster->pgdata, err);
	if (rc == 0)
		rc = lock(op, &owner, &locked, err);
	if (rc == 0)
		rc = run(b, err);
	if (report(b, rc == 0 && !o->dry_run, &why) < 0 && rc == 0)
		rc = err_set(err, why.kind, 0, "%s", why.msg);
	release(b);
	return rc;
}

void
backup_result_free(struct backup_result *r)
{
	manifest_head_free(&r->head);
	for (size_t i = 0; i < r->n_bad_pages; i++)
		free(r->bad_pages[i].path);
	free(r->bad_pages);
	free(r->repositories);
	memset(r, 0, sizeof(*r));
}
