#include "ops/backup_take.h"

#include "base/clock.h"
#include "base/str.h"
#include "ops/session.h"
#include "pg/crc32c.h"
#include "pg/path.h"

#define SERVER_MANIFEST "backup_manifest"
#define BACKUP_LABEL "backup_label"
#define RESTORE_NOTE "pgcairn.restore.json"

int
backup_interrupted(struct backup *b, struct err *err)
{
	if (b->options->interrupted != NULL && *b->options->interrupted != 0)
		return err_set(err, ERR_RETRY, 0, "interrupted");
	return 0;
}

int
backup_somebody_left(const struct backup *b, struct err *err)
{
	if (fanout_alive(b->fanout) > 0)
		return 0;
	if (b->fanout->n == 0)
		return err_set(err, ERR_BUG, 0, "a backup to no repository");
	*err = b->fanout->targets[0].err;
	return err->kind;
}

void
backup_tell_failed(struct backup *b)
{
	for (size_t i = 0; i < b->fanout->n; i++) {
		const struct fanout_target *t = &b->fanout->targets[i];

		if (!t->failed || b->told[i])
			continue;
		b->told[i] = true;
		log_write(b->op->log, LOG_WARN, "repository '%s' drops out of this backup", t->name);
		log_err(b->op->log, LOG_WARN, &t->err);
	}
}

/* One line of the manifest. */
static int
put_entry(struct backup *b, const struct manifest_entry *e, struct err *err)
{
	int rc;

	buf_reset(&b->line);
	rc = manifest_entry_encode(e, &b->line, err);
	return rc < 0 ? rc : object_writer_write(b->manifest.object, b->line.data, b->line.len, err);
}

/* A path relative to PGDATA for a name in the current archive. */
static int
set_path(struct backup *b, struct manifest_entry *e, const char *name, struct err *err)
{
	int n;

	if (b->tablespace != NULL && b->tablespace->oid != 0)
		n = snprintf(e->path, sizeof(e->path), "pg_tblspc/%u/%s", b->tablespace->oid, name);
	else
		n = snprintf(e->path, sizeof(e->path), "%s", name);
	if (n < 0 || (size_t)n >= sizeof(e->path) || !path_is_plain(e->path))
		return err_set(err, ERR_CORRUPT, 0, "the server sent a file named '%s'", name);
	return 0;
}

int
backup_file_begin(struct backup *b, enum manifest_kind kind, const char *path, mode_t mode, int64_t mtime_s, struct err *err)
{
	struct manifest_entry *e = &b->entry;

	e->kind = kind;
	e->mode = mode;
	e->mtime_s = mtime_s;
	e->size = 0;
	e->n_runs = 0;
	e->setting[0] = '\0';
	b->crc = CRC32C_INIT;
	b->left_out = false;
	if (path != e->path && strlen(path) >= sizeof(e->path))
		return err_set(err, ERR_CONFIG, 0, "the path '%s' is too long", path);
	if (path != e->path)
		memcpy(e->path, path, strlen(path) + 1);
	return 0;
}

/* Where these bytes went, joined to what went there before. */
static int
add_run(struct backup *b, const struct manifest_run *run, struct err *err)
{
	struct manifest_entry *e = &b->entry;
	struct manifest_run *last = e->n_runs > 0 ? &e->runs[e->n_runs - 1] : NULL;

	if (last != NULL && last->pack == run->pack && last->pack_offset + last->length == run->pack_offset) {
		last->length += run->length;
		return 0;
	}
	if (e->n_runs == b->runs_cap) {
		size_t cap = b->runs_cap == 0 ? 16 : 2 * b->runs_cap;
		struct manifest_run *more = realloc(e->runs, cap * sizeof(*more));

		if (more == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for %zu runs", cap);
		e->runs = more;
		b->runs_cap = cap;
	}
	e->runs[e->n_runs++] = *run;
	return 0;
}

int
backup_file_data(struct backup *b, const void *bytes, size_t len, struct err *err)
{
	struct manifest_run run = {.file_offset = b->entry.size};
	int rc = 0;

	b->crc = crc32c_update(b->crc, bytes, len);
	if (!b->left_out && len > 0) {
		rc = pack_writer_append(b->packs, bytes, len, &run, err);
		if (rc == 0)
			rc = add_run(b, &run, err);
	}
	b->entry.size += len;
	return rc;
}

int
backup_file_end(struct backup *b, struct err *err)
{
	struct manifest_entry *e = &b->entry;

	e->crc32c = crc32c_final(b->crc);
	if (b->left_out)
		return 0;
	if (e->kind == MANIFEST_CONFIG) {
		b->counts.configs++;
	} else {
		b->counts.files++;
		b->result->head.size += e->size;
	}
	return put_entry(b, e, err);
}

static int
on_started(const struct backup_start *start, void *arg, struct err *err)
{
	struct backup *b = arg;
	struct manifest_head *h = &b->result->head;
	char at[LSN_TEXT];
	bool known = true;

	h->start_lsn = b->pages.start = start->lsn;
	h->start_timeline = start->timeline;
	b->tablespaces = start->tablespaces;
	for (size_t i = 0; i < start->n_tablespaces; i++) {
		const struct backup_tablespace *t = &start->tablespaces[i];
		struct manifest_entry e = {.kind = MANIFEST_TABLESPACE, .tablespace = t->oid};
		int rc;

		known &= t->size_kb >= 0;
		b->total += t->size_kb > 0 ? (uint64_t)t->size_kb * 1024 : 0;
		if (t->oid == 0 || t->location[0] != '/')
			continue;
		rc = str_copy(e.path, sizeof(e.path), t->location, "a tablespace's location", err);
		if (rc == 0)
			rc = put_entry(b, &e, err);
		if (rc < 0)
			return rc;
		b->counts.tablespaces++;
	}
	b->total = known ? b->total : 0;
	lsn_format(at, start->lsn);
	log_write(b->op->log, LOG_INFO, "backup %s begins at %s on timeline %u", h->label, at, start->timeline);
	return 0;
}

static int
put_directory(struct backup *b, const char *name, mode_t mode, struct err *err)
{
	struct manifest_entry e = {.kind = MANIFEST_DIRECTORY, .mode = mode};
	int rc = set_path(b, &e, name, err);

	b->counts.dirs++;
	return rc < 0 ? rc : put_entry(b, &e, err);
}

/* A tablespace that lies in PGDATA itself has no link, but its own archive: its directory is named by nobody else. */
static int
on_archive_begin(size_t i, void *arg, struct err *err)
{
	struct backup *b = arg;
	const struct backup_tablespace *t = &b->tablespaces[i];

	b->tablespace = NULL;
	if (t->oid != 0 && t->location[0] != '/') {
		int rc = put_directory(b, t->location, b->identity.data_directory_mode, err);

		if (rc < 0)
			return rc;
	}
	b->tablespace = t;
	return 0;
}

static int
on_directory(const struct tar_entry *entry, void *arg, struct err *err)
{
	return put_directory(arg, entry->name, (mode_t)entry->mode, err);
}

/* Links to tablespaces are known from their list; the server follows or skips all others. */
static int
on_symlink(const struct tar_entry *entry, void *arg, struct err *err)
{
	(void)arg;
	if (str_starts(entry->name, "pg_tblspc/"))
		return 0;
	return err_set(err, ERR_CORRUPT, 0, "the server sent a link '%s'", entry->name);
}

/* What our own programs keep in PGDATA: one holds keys, and none is the database's. */
static bool
is_ours(const char *path)
{
	size_t n = strlen(SESSION_FILE);

	if (strcmp(path, RESTORE_NOTE) == 0)
		return true;
	return str_starts(path, SESSION_FILE) && (path[n] == '\0' || (path[n] == '.' && strchr(path, '/') == NULL));
}

static int
on_file_begin(const struct tar_entry *entry, void *arg, struct err *err)
{
	struct backup *b = arg;
	int rc = set_path(b, &b->entry, entry->name, err);

	if (rc == 0)
		rc = backup_file_begin(b, MANIFEST_FILE, b->entry.path, (mode_t)entry->mode, entry->mtime_s, err);
	if (rc < 0)
		return rc;
	b->left_out = is_ours(b->entry.path);
	backup_pages_begin(&b->pages, b->entry.path);
	return str_copy(
	    b->entry.setting, sizeof(b->entry.setting), backup_server_setting(&b->server, b->entry.path), "setting", err);
}

static int
on_file_data(const void *bytes, size_t len, void *arg, struct err *err)
{
	struct backup *b = arg;
	int rc = backup_pages_data(&b->pages, bytes, len, err);

	if (rc == 0 && strcmp(b->entry.path, BACKUP_LABEL) == 0)
		rc = buf_append(&b->label, bytes, len, err);
	return rc < 0 ? rc : backup_file_data(b, bytes, len, err);
}

/* The bad pages of the file that just ended: into the manifest, the result and the log. */
static int
put_bad_pages(struct backup *b, struct err *err)
{
	struct backup_result *r = b->result;

	for (size_t i = 0; i < b->pages.n_bad; i++) {
		struct manifest_entry e = {.kind = MANIFEST_BAD_PAGE, .block = b->pages.bad[i]};
		int rc;

		memcpy(e.path, b->entry.path, sizeof(e.path));
		rc = put_entry(b, &e, err);
		if (rc < 0)
			return rc;
		if (b->counts.bad_pages++ < BACKUP_BAD_PAGES_LOGGED)
			log_write(
			    b->op->log, LOG_ERROR, "page %u of '%s' fails its checksum; it is kept as it is", e.block, e.path);
		if (r->n_bad_pages == BACKUP_BAD_PAGES_KEPT)
			continue;
		r->bad_pages[r->n_bad_pages].path = strdup(e.path);
		if (r->bad_pages[r->n_bad_pages].path == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for a bad page");
		r->bad_pages[r->n_bad_pages++].block = e.block;
	}
	return 0;
}

static int
on_file_end(void *arg, struct err *err)
{
	struct backup *b = arg;
	int rc;

	backup_pages_end(&b->pages);
	rc = backup_file_end(b, err);
	if (rc == 0)
		rc = put_bad_pages(b, err);
	b->control_seen |= strcmp(b->entry.path, "global/pg_control") == 0;
	return rc < 0 ? rc : backup_check_received(b->check, b->entry.path, b->entry.size, b->entry.crc32c, err);
}

static int
on_manifest_data(const void *bytes, size_t len, void *arg, struct err *err)
{
	struct backup *b = arg;
	int rc = 0;

	if (!b->in_manifest)
		rc = backup_file_begin(b, MANIFEST_FILE, SERVER_MANIFEST, 0600, clock_now_us() / 1000000, err);
	b->in_manifest = true;
	if (rc == 0)
		rc = server_manifest_feed(b->listed, bytes, len, err);
	return rc < 0 ? rc : backup_file_data(b, bytes, len, err);
}

static int
on_progress(uint64_t done, void *arg, struct err *err)
{
	struct backup *b = arg;

	(void)err;
	backup_tell_failed(b);
	if (b->options->progress.update != NULL)
		b->options->progress.update(b->options->progress.arg, done, b->total);
	return 0;
}

static int
on_listed_file(const struct server_manifest_file *f, void *arg, struct err *err)
{
	struct backup *b = arg;

	return backup_check_listed(b->check, f, err);
}

static int
on_listed_range(const struct server_manifest_range *r, void *arg, struct err *err)
{
	struct backup *b = arg;

	(void)err;
	if (b->newest.timeline == 0)
		b->newest = *r;
	b->oldest = *r;
	return 0;
}

/* backup_label is what recovery starts from: it must say what the protocol said. */
static int
check_label(struct backup *b, struct err *err)
{
	struct manifest_head *h = &b->result->head;
	struct label label;
	int rc = label_parse(&label, buf_text(&b->label), b->label.len, err);

	if (rc < 0)
		return err_wrap(err, "the server's " BACKUP_LABEL);
	if (label.start_lsn != h->start_lsn || label.start_timeline != h->start_timeline)
		return err_set(err, ERR_CORRUPT, 0, "the server's " BACKUP_LABEL " names another start than the server did");
	if (label.checkpoint_lsn < label.start_lsn)
		return err_set(err, ERR_CORRUPT, 0, "the server's " BACKUP_LABEL " names a checkpoint before the start");
	if (label.incremental)
		return err_set(err, ERR_CORRUPT, 0, "the server sent an incremental backup that was not asked for");
	h->checkpoint_lsn = label.checkpoint_lsn;
	h->from_standby = label.from_standby;
	return 0;
}

/* The server's second list against the first, and both against what the protocol said. */
static int
check_stream(struct backup *b, struct err *err)
{
	const struct manifest_head *h = &b->result->head;
	struct server_manifest_end end;
	int rc = server_manifest_finish(b->listed, &end, err);

	if (rc == 0)
		rc = backup_check_finish(b->check, err);
	if (rc == 0)
		rc = check_label(b, err);
	if (rc < 0)
		return rc;
	if (end.has_system_identifier && end.system_identifier != h->sysid)
		return err_set(err, ERR_CORRUPT, 0, "the server's manifest is of another cluster");
	if (b->newest.end != h->stop_lsn || b->newest.timeline != h->stop_timeline || b->oldest.start != h->start_lsn ||
	    b->oldest.timeline != h->start_timeline)
		return err_set(err, ERR_CORRUPT, 0, "the server's manifest names other WAL than from the start to the stop");
	if (!b->control_seen)
		return err_set(err, ERR_CORRUPT, 0, "the server sent no global/pg_control");
	return 0;
}

static uint32_t
rate_kb(const struct backup *b)
{
	uint64_t rate = b->options->has_max_rate ? b->options->max_rate : b->op->cluster->max_rate;

	if (rate == 0 || rate / 1024 > BASEBACKUP_RATE_MAX) /* faster than the server can be told to be slow */
		return 0;
	return rate < 1024 ? 1 : (uint32_t)(rate / 1024);
}

static int
start(struct backup *b, struct err *err)
{
	static const struct server_manifest_events listed = {.file = on_listed_file, .range = on_listed_range};
	char name[OBJECT_NAME_MAX];
	int rc = writer_new_epoch(b->writer, b->fanout, "backup", &b->epoch, err);

	b->label.max = LABEL_FILE_MAX;
	b->line.max = MANIFEST_LINE_MAX;
	b->pages.server = &b->server;
	if (rc == 0)
		rc = backup_check_new(&b->check, err);
	if (rc == 0)
		rc = server_manifest_new(&b->listed, &listed, b, err);
	if (rc == 0)
		rc = pack_writer_new(&b->packs, b->writer, b->fanout, &b->epoch, b->result->head.label, b->op->pool, err);
	if (rc == 0)
		rc = layout_manifest(name, b->result->head.label, 0, err);
	if (rc == 0)
		rc = writer_start(b->writer, b->fanout, &b->manifest, OBJECT_MANIFEST, name, &b->epoch, NULL, b->op->pool, err);
	return rc;
}

int
backup_take(struct backup *b, struct err *err)
{
	static const struct backup_events events = {
	    .started = on_started,
	    .archive_begin = on_archive_begin,
	    .directory = on_directory,
	    .symlink = on_symlink,
	    .file_begin = on_file_begin,
	    .file_data = on_file_data,
	    .file_end = on_file_end,
	    .manifest_data = on_manifest_data,
	    .progress = on_progress,
	};
	struct manifest_head *h = &b->result->head;
	BUF_AUTO struct buf label = {0};
	struct basebackup_options o = {.max_rate_kb = rate_kb(b)};
	struct basebackup_stop stop;
	int rc = start(b, err);

	o.spread =
	    b->options->checkpoint == BACKUP_CHECKPOINT_SPREAD ||
	    (b->options->checkpoint == BACKUP_CHECKPOINT_CONFIGURED && b->op->cluster->checkpoint == CONFIG_CHECKPOINT_SPREAD);
	if (rc == 0)
		rc = buf_printf(&label, err, "pgcairn %s", h->label);
	o.label = buf_text(&label);
	if (rc == 0)
		rc = basebackup_run(b->stream, &o, &events, b, &b->interrupt, &stop, err);
	b->tablespace = b->tablespaces = NULL;
	if (rc == 0)
		rc = backup_file_end(b, err); /* the server's manifest */
	if (rc < 0)
		return rc;
	h->stop_lsn = stop.lsn;
	h->stop_timeline = stop.timeline;
	return check_stream(b, err);
}
