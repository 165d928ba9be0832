#include "ops/backup_server.h"

#include "base/fs.h"
#include "base/str.h"
#include "pg/conf_include.h"
#include "pg/page.h"
#include "pg/path.h"

#define FILES_MAX 1024

void
backup_server_close(struct backup_server *s)
{
	pg_conn_close(s->sql);
	free(s->pgdata);
	for (size_t i = 0; i < s->n_files; i++)
		free(s->files[i].path);
	free(s->files);
	for (size_t i = 0; i < s->n_own; i++)
		free(s->own[i].path);
	*s = (struct backup_server){0};
}

/* A setting's value. Some settings are hidden from plain roles: the row is missing then. */
static int
setting(struct backup_server *s, const char *name, char **out, struct err *err)
{
	int rc = pg_conn_query_value(s->sql, "SELECT setting FROM pg_catalog.pg_settings WHERE name = $1", 1, &name, out, err);

	if (rc == ERR_NOT_FOUND) {
		err_set(err, ERR_AUTH, 0, "the server does not show its setting '%s' to this role", name);
		rc = err_hint(err, "GRANT pg_read_all_settings TO the role of conninfo; see pgconf/role.sql");
	}
	return rc;
}

/*
 * The path under which the backup keeps a file. It is the one by which the server opens it, so that what it includes is found
 * from there in the restored tree too; where that is no plain text for the place (".." behind a link), the real one.
 */
static char *
kept_path(const char *path, const char *real)
{
	FREE_AUTO char *text = strdup(path), *same = NULL;

	if (text == NULL)
		return NULL;
	path_collapse(text);
	if (fs_real_path(text, &same, NULL) < 0 || strcmp(same, real) != 0)
		return strdup(real);
	return STEAL(text);
}

/* A file into the list, unless it lies in PGDATA or is in the list. Whether it can be read shows later. */
static int
add_file(struct backup_server *s, const char *path, const char *setting, struct err *err)
{
	FREE_AUTO char *real = NULL, *kept = NULL;
	struct backup_file *more;

	if (path[0] != '/')
		return 0;
	if (fs_real_path(path, &real, NULL) < 0 && (real = strdup(path)) == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	if (fs_is_inside(real, s->pgdata))
		return 0;
	kept = kept_path(path, real);
	if (kept == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	for (size_t i = 0; i < s->n_files; i++)
		if (strcmp(s->files[i].path, kept) == 0)
			return 0;
	if (s->n_files == FILES_MAX)
		return err_set(err, ERR_CONFIG, 0, "more than %d configuration files outside PGDATA", FILES_MAX);
	more = realloc(s->files, (s->n_files + 1) * sizeof(*more));
	if (more == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a list of files");
	s->files = more;
	s->files[s->n_files++] = (struct backup_file){STEAL(kept), setting};
	return 0;
}

/* A file in PGDATA that a setting names: remembered unless it is the one that the server takes without a word. */
static int
note_own(struct backup_server *s, const char *path, const char *setting, const char *usual, struct err *err)
{
	FREE_AUTO char *real = NULL;
	const char *relative;
	char *copy;

	if (path[0] != '/' || fs_real_path(path, &real, NULL) < 0 || !fs_is_inside(real, s->pgdata))
		return 0;
	relative = real + strlen(s->pgdata) + 1;
	if (strcmp(relative, usual) == 0)
		return 0;
	copy = strdup(relative);
	if (copy == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	s->own[s->n_own++] = (struct backup_file){copy, setting};
	return 0;
}

const char *
backup_server_setting(const struct backup_server *s, const char *path)
{
	for (size_t i = 0; i < s->n_own; i++)
		if (strcmp(s->own[i].path, path) == 0)
			return s->own[i].setting;
	return "";
}

/* What Debian's postgresql-common keeps beside postgresql.conf: without these pg_ctlcluster does not know the cluster. */
static int
add_siblings(struct backup_server *s, const char *config_file, struct err *err)
{
	static const char *const names[] = {"start.conf", "environment", "pg_ctl.conf"};
	const char *slash = strrchr(config_file, '/');
	int rc = 0;

	for (size_t i = 0; rc == 0 && slash != NULL && i < ARRAY_LEN(names); i++) {
		FREE_AUTO char *path = str_printf("%.*s/%s", (int)(slash - config_file), config_file, names[i]);

		if (path == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
		if (access(path, F_OK) == 0)
			rc = add_file(s, path, "", err);
	}
	return rc;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct backup_file *)a)->path, ((const struct backup_file *)b)->path);
}

static int
add_included(const char *path, void *arg, struct err *err)
{
	return add_file(arg, path, "", err);
}

/* Files that are included. The server names each that sets something; only the directives name the others. */
static int
find_included(struct backup_server *s, const char *config_file, struct err *err)
{
	const struct conf_visitor v = {.file = add_included, .arg = s};
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	int rc = pg_conn_query(s->sql,
	    "SELECT DISTINCT sourcefile FROM pg_catalog.pg_settings WHERE sourcefile IS NOT NULL ORDER BY 1", 0, NULL, &rows,
	    err);

	for (size_t i = 0; rc == 0 && i < pg_rows_count(rows); i++)
		rc = add_file(s, pg_rows_value(rows, i, 0), "", err);
	return rc < 0 ? rc : conf_walk(config_file, &v, err);
}

static int
find_files(struct backup_server *s, struct err *err)
{
	static const struct {
		const char *setting, *usual;
	} named[BACKUP_SETTINGS] = {
	    {"config_file", "postgresql.conf"}, {"hba_file", "pg_hba.conf"}, {"ident_file", "pg_ident.conf"}};
	FREE_AUTO char *config_file = NULL;
	int rc = setting(s, "config_file", &config_file, err);

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(named); i++) {
		FREE_AUTO char *path = NULL;

		rc = setting(s, named[i].setting, &path, err);
		if (rc == 0)
			rc = add_file(s, path, named[i].setting, err);
		if (rc == 0)
			rc = note_own(s, path, named[i].setting, named[i].usual, err);
	}
	if (rc == 0)
		rc = add_siblings(s, config_file, err);
	if (rc == 0)
		rc = find_included(s, config_file, err);
	if (rc == 0 && s->n_files > 0)
		qsort(s->files, s->n_files, sizeof(*s->files), by_name);
	return rc;
}

static int
check_data_directory(struct backup_server *s, const char *pgdata, struct err *err)
{
	FREE_AUTO char *theirs = NULL, *real = NULL;
	int rc = setting(s, "data_directory", &theirs, err);

	if (rc == 0)
		rc = fs_real_path(pgdata, &s->pgdata, err);
	if (rc == 0)
		rc = fs_real_path(theirs, &real, err);
	if (rc == 0 && strcmp(s->pgdata, real) != 0) {
		err_set(err, ERR_CONFIG, 0, "the server's data directory is '%s', pgdata is '%s'", real, s->pgdata);
		rc = err_hint(err, "does conninfo lead to another server? backups are taken on the server's host");
	}
	return rc;
}

/* A backup is nothing without the WAL from its start to its stop: say so before hours of streaming. */
static int
check_archiving(struct backup_server *s, const struct log *log, struct err *err)
{
	FREE_AUTO char *mode = NULL, *command = NULL, *library = NULL;
	char failed[512];
	int rc;

	if (s->in_recovery) /* the primary's archive is what counts, and it cannot be seen from here */
		return 0;
	rc = setting(s, "archive_mode", &mode, err);
	if (rc == 0)
		rc = setting(s, "archive_command", &command, err);
	if (rc == 0 && pg_conn_major(s->sql) >= 15)
		rc = setting(s, "archive_library", &library, err);
	if (rc < 0)
		return rc;
	if (strcmp(mode, "off") == 0 || (command[0] == '\0' && (library == NULL || library[0] == '\0'))) {
		err_set(err, ERR_CONFIG, 0, "the server archives no WAL: %s",
		    strcmp(mode, "off") == 0 ? "archive_mode is off" : "archive_command is empty");
		return err_hint(err, "a backup without WAL cannot be restored; set archive_mode = on and archive_command = "
				     "'pgcairn-wal-archive %%p %%f', see pgconf/primary.conf");
	}
	if ((library == NULL || library[0] == '\0') && strstr(command, "pgcairn-wal-archive") == NULL)
		log_write(log, LOG_WARN,
		    "archive_command is not pgcairn's: the backup needs its WAL in the repositories too (%s)", command);
	backup_server_archiver(s, failed, sizeof(failed));
	if (failed[0] != '\0')
		log_write(log, LOG_WARN, "archiving fails at present: %s", failed);
	return 0;
}

static void
check_pages(struct backup_server *s, const struct log *log)
{
	const struct control *c = &s->control;

	if (c->data_checksum_version == 0)
		return;
	s->checks_pages = c->block_size == PG_PAGE_BYTES && c->relation_segment_blocks == PG_SEGMENT_PAGES;
	if (!s->checks_pages)
		log_write(log, LOG_WARN,
		    "page checksums are not verified: pages have %u bytes and files %u pages, 8192 and 131072 are known",
		    c->block_size, c->relation_segment_blocks);
}

static int
ask(struct backup_server *s, const struct op *op, struct err *err)
{
	FREE_AUTO char *recovery = NULL;
	int rc = check_data_directory(s, op->cluster->pgdata, err);

	if (rc == 0)
		rc = control_read_pgdata(s->pgdata, &s->control, err);
	if (rc == 0)
		rc = pg_conn_query_value(s->sql, "SELECT pg_catalog.pg_is_in_recovery()", 0, NULL, &recovery, err);
	if (rc < 0)
		return rc;
	s->in_recovery = strcmp(recovery, "t") == 0;
	rc = check_archiving(s, op->log, err);
	if (rc == 0)
		rc = find_files(s, err);
	if (rc == 0)
		check_pages(s, op->log);
	return rc;
}

/* With a tablespace map the server sends nothing of a tablespace that lies in pg_tblspc itself: its files would be missing. */
static int
refuse_in_place(struct backup_server *s, struct err *err)
{
	FREE_AUTO char *name = NULL;
	int rc = pg_conn_query_value(s->sql,
	    "SELECT spcname FROM pg_catalog.pg_tablespace WHERE pg_catalog.pg_tablespace_location(oid) LIKE 'pg\\_tblspc/%' "
	    "LIMIT 1",
	    0, NULL, &name, err);

	if (rc == ERR_NOT_FOUND)
		return 0;
	if (rc < 0)
		return rc;
	err_set(err, ERR_CONFIG, 0,
	    "tablespace '%s' lies in pg_tblspc itself (allow_in_place_tablespaces): the server does not back it up", name);
	return err_hint(
	    err, "move it to a directory outside PGDATA: CREATE TABLESPACE ... LOCATION, ALTER TABLE ... SET TABLESPACE");
}

int
backup_server_open(struct backup_server *out, const struct op *op, struct err *err)
{
	const struct pg_conn_options o = {.conninfo = op->cluster->conninfo};
	struct backup_server s = {0};
	int rc = pg_conn_open(&s.sql, &o, err);

	if (rc == 0)
		rc = ask(&s, op, err);
	if (rc < 0) {
		backup_server_close(&s);
		return rc;
	}
	rc = refuse_in_place(&s, err);
	if (rc < 0) {
		backup_server_close(&s);
		return rc;
	}
	if (pg_conn_is_newer(s.sql))
		log_write(op->log, LOG_WARN, "PostgreSQL %u is newer than this pgcairn, which knows up to %d",
		    pg_conn_major(s.sql), PG_MAJOR_KNOWN);
	*out = s;
	return 0;
}

lsn_t
backup_server_position(struct backup_server *s)
{
	FREE_AUTO char *text = NULL;
	lsn_t lsn;

	if (pg_conn_query_value(s->sql,
		s->in_recovery ? "SELECT pg_catalog.pg_last_wal_replay_lsn()" : "SELECT pg_catalog.pg_current_wal_insert_lsn()",
		0, NULL, &text, NULL) < 0 ||
	    !lsn_parse(text, &lsn))
		return 0;
	/* on a standby the record that is being replayed is on pages before it counts as replayed; no record is larger than
	 * this */
	return s->in_recovery ? lsn + (UINT64_C(1) << 30) : lsn;
}

void
backup_server_archiver(struct backup_server *s, char *out, size_t size)
{
	static const char sql[] = "SELECT last_failed_wal, last_failed_time, failed_count FROM pg_catalog.pg_stat_archiver "
				  "WHERE last_failed_time > coalesce(last_archived_time, '-infinity')";
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	const char *wal, *when, *count;

	out[0] = '\0';
	if (pg_conn_query(s->sql, sql, 0, NULL, &rows, NULL) < 0 || pg_rows_count(rows) != 1)
		return;
	wal = pg_rows_value(rows, 0, 0);
	when = pg_rows_value(rows, 0, 1);
	count = pg_rows_value(rows, 0, 2);
	(void)snprintf(out, size, "%s at %s was the last of %s failures; the server's log has the reason",
	    wal != NULL ? wal : "?", when != NULL ? when : "?", count != NULL ? count : "?");
}
