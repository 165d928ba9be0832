#include "pg/basebackup.h"

#include <libpq-fe.h>

#include "base/str.h"

#define TABLESPACES_MAX 65536

/* 14 has keywords one after the other, 15 and later a list in parentheses; neither takes the other's form. */
static int
add_option(struct buf *out, unsigned major, bool first, const char *old, const char *now, struct err *err)
{
	if (major < 15)
		return *old != '\0' ? buf_printf(out, err, " %s", old) : 0;
	return buf_printf(out, err, "%s%s", first ? " (" : ", ", now);
}

/* LABEL 'text', quotes doubled. It ends up on one line of backup_label, so line ends would forge other lines. */
static int
add_label(struct buf *out, unsigned major, const char *label, struct err *err)
{
	BUF_AUTO struct buf text = {0};
	int rc = buf_printf(&text, err, "LABEL '");

	if (*label == '\0' || strlen(label) > BASEBACKUP_LABEL_MAX)
		return err_set(err, ERR_CONFIG, 0, "a backup's label has 1 to %d bytes", BASEBACKUP_LABEL_MAX);
	for (const char *p = label; rc == 0 && *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return err_set(err, ERR_CONFIG, 0, "a backup's label has a control character");
		rc = buf_append(&text, "''", *p == '\'' ? 2 : 0, err);
		if (rc == 0 && *p != '\'')
			rc = buf_append(&text, p, 1, err);
	}
	if (rc == 0)
		rc = buf_append(&text, "'", 1, err);
	return rc != 0 ? rc : add_option(out, major, true, buf_text(&text), buf_text(&text), err);
}

int
basebackup_command(struct buf *out, unsigned major, const struct basebackup_options *o, struct err *err)
{
	char rate[32];
	const struct {
		bool wanted;
		const char *old, *now;
	} options[] = {
	    {!o->without_progress, "PROGRESS", "PROGRESS true"},
	    {!o->spread, "FAST", "CHECKPOINT 'fast'"},
	    {o->spread, "", "CHECKPOINT 'spread'"},
	    {true, "", "WAL false"},
	    {true, "NOWAIT", "WAIT false"},
	    {o->max_rate_kb != 0, rate, rate},
	    {true, "TABLESPACE_MAP", "TABLESPACE_MAP true"},
	    {true, "NOVERIFY_CHECKSUMS", "VERIFY_CHECKSUMS false"},
	    {true, "MANIFEST 'yes'", "MANIFEST 'yes'"},
	    {true, "MANIFEST_CHECKSUMS 'CRC32C'", "MANIFEST_CHECKSUMS 'CRC32C'"},
	};
	BUF_AUTO struct buf text = {0};
	int rc;

	if (major < PG_MAJOR_MIN)
		return err_set(err, ERR_CONFIG, 0, "PostgreSQL %u is older than %d", major, PG_MAJOR_MIN);
	if (o->max_rate_kb != 0 && (o->max_rate_kb < BASEBACKUP_RATE_MIN || o->max_rate_kb > BASEBACKUP_RATE_MAX))
		return err_set(err, ERR_CONFIG, 0, "a backup's rate is %d to %d kB/s, not %u", BASEBACKUP_RATE_MIN,
		    BASEBACKUP_RATE_MAX, o->max_rate_kb);
	(void)snprintf(rate, sizeof(rate), "MAX_RATE %u", o->max_rate_kb);
	rc = buf_printf(&text, err, "BASE_BACKUP");
	if (rc == 0)
		rc = add_label(&text, major, o->label != NULL ? o->label : "pgcairn", err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(options); i++)
		if (options[i].wanted)
			rc = add_option(&text, major, false, options[i].old, options[i].now, err);
	if (rc == 0 && major >= 15)
		rc = buf_append(&text, ")", 1, err);
	return rc != 0 ? rc : buf_append(out, text.data, text.len, err);
}

/* A row of a position and a timeline. */
static int
read_position(const struct pg_rows *rows, size_t lsn_at, size_t timeline_at, lsn_t *lsn, timeline_t *timeline, struct err *err)
{
	const char *where = pg_rows_value(rows, 0, lsn_at), *line = pg_rows_value(rows, 0, timeline_at);
	uint64_t tli;

	if (pg_rows_count(rows) != 1 || where == NULL || line == NULL || !lsn_parse(where, lsn) ||
	    !str_to_u64(line, 1, UINT32_MAX, &tli))
		return err_set(err, ERR_CORRUPT, 0, "the server did not give a position and a timeline");
	*timeline = (timeline_t)tli;
	return 0;
}

/* One row: its OID and location, or NULL for the data directory; the estimate may be NULL for any. */
static int
read_tablespace(const struct pg_rows *rows, size_t row, struct backup_tablespace *out, struct err *err)
{
	const char *oid = pg_rows_value(rows, row, 0), *location = pg_rows_value(rows, row, 1);
	const char *size = pg_rows_value(rows, row, 2);
	uint64_t v;

	*out = (struct backup_tablespace){.location = "", .size_kb = -1};
	if ((oid == NULL) != (location == NULL || *location == '\0'))
		return err_set(err, ERR_CORRUPT, 0, "the server named a tablespace without a location");
	if (oid != NULL) {
		if (!str_to_u64(oid, 1, UINT32_MAX, &v))
			return err_set(err, ERR_CORRUPT, 0, "the server named a tablespace '%.32s'", oid);
		out->oid = (uint32_t)v;
		out->location = location;
	}
	if (size != NULL) {
		if (!str_to_u64(size, 0, INT64_MAX, &v))
			return err_set(err, ERR_CORRUPT, 0, "the server gave a tablespace the size '%.32s'", size);
		out->size_kb = (int64_t)v;
	}
	return 0;
}

static int
read_tablespaces(const struct pg_rows *rows, struct backup_tablespace **out, size_t *count, struct err *err)
{
	size_t n = pg_rows_count(rows);
	FREE_AUTO struct backup_tablespace *t = NULL;

	if (n == 0 || n > TABLESPACES_MAX || pg_rows_columns(rows) < 3)
		return err_set(err, ERR_CORRUPT, 0, "the server gave a list of %zu tablespaces", n);
	t = calloc(n, sizeof(*t));
	if (t == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for %zu tablespaces", n);
	for (size_t i = 0; i < n; i++) {
		int rc = read_tablespace(rows, i, &t[i], err);

		if (rc != 0)
			return rc;
	}
	*out = STEAL(t);
	*count = n;
	return 0;
}

/* The next payload, to be freed with PQfreemem; NULL in *out behind the last. */
static int
next_message(struct pg_connection *c, const struct pg_interrupt *interrupt, char **out, size_t *len, struct err *err)
{
	for (;;) {
		int n = PQgetCopyData(pg_conn_libpq(c), out, 1);
		int rc;

		if (n > 0 || n == -1) {
			*len = n > 0 ? (size_t)n : 0;
			return 0;
		}
		if (n != 0)
			return pg_conn_error(c, NULL, "receive a base backup", err);
		rc = pg_conn_wait(c, interrupt, err);
		if (rc != 0)
			return rc;
	}
}

/* All messages, up to the end of one COPY. */
static int
receive_copy(struct pg_connection *c, struct backup_stream *s, const struct pg_interrupt *interrupt, struct err *err)
{
	for (;;) {
		char *payload = NULL;
		size_t len = 0;
		int rc = interrupt != NULL && interrupt->check != NULL ? interrupt->check(interrupt->arg, err) : 0;

		if (rc == 0)
			rc = next_message(c, interrupt, &payload, &len, err);
		if (rc != 0 || payload == NULL)
			return rc;
		rc = backup_stream_message(s, payload, len, err);
		PQfreemem(payload);
		if (rc != 0)
			return rc;
	}
}

/* The next result has this status, or its error is raised. A result that has no rows of interest is dropped. */
static int
expect(struct pg_connection *c, const struct pg_interrupt *interrupt, ExecStatusType want, struct err *err)
{
	PGresult *r = NULL;
	int rc = pg_conn_next_result(c, interrupt, &r, err);

	if (rc == 0 && PQresultStatus(r) != want)
		rc = pg_conn_error(c, r, "base backup", err);
	PQclear(r);
	return rc;
}

/* Every COPY that the backup has. */
static int
receive(struct pg_connection *c, struct backup_stream *s, size_t copies, const struct pg_interrupt *interrupt, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < copies; i++) {
		rc = expect(c, interrupt, PGRES_COPY_OUT, err);
		if (rc == 0)
			rc = backup_stream_copy(s, err);
		if (rc == 0)
			rc = receive_copy(c, s, interrupt, err);
	}
	return rc;
}

/* CommandComplete, and behind it nothing but that the server is ready. */
static int
complete(struct pg_connection *c, const struct pg_interrupt *interrupt, struct err *err)
{
	PGresult *r = NULL;
	int rc = expect(c, interrupt, PGRES_COMMAND_OK, err);

	if (rc == 0)
		rc = pg_conn_next_result(c, interrupt, &r, err);
	if (rc == 0 && (r != NULL || PQtransactionStatus(pg_conn_libpq(c)) != PQTRANS_IDLE))
		rc = pg_conn_error(c, r, "end a base backup", err);
	PQclear(r);
	return rc;
}

static int
start(struct pg_connection *c, const struct basebackup_options *options, struct err *err)
{
	BUF_AUTO struct buf command = {0};
	int rc = basebackup_command(&command, pg_conn_major(c), options, err);

	if (rc == 0 && PQsendQuery(pg_conn_libpq(c), buf_text(&command)) != 1)
		rc = pg_conn_error(c, NULL, "start a base backup", err);
	return rc;
}

int
basebackup_run(struct pg_connection *c, const struct basebackup_options *options, const struct backup_events *events, void *arg,
    const struct pg_interrupt *interrupt, struct basebackup_stop *stop, struct err *err)
{
	PG_ROWS_AUTO struct pg_rows *first = NULL, *list = NULL, *last = NULL;
	FREE_AUTO struct backup_tablespace *tablespaces = NULL;
	BACKUP_STREAM_AUTO struct backup_stream *stream = NULL;
	struct basebackup_stop end = {0};
	struct backup_start begun = {0};
	int rc = start(c, options, err);

	if (rc == 0)
		rc = pg_conn_next_rows(c, interrupt, "start a base backup", &first, err);
	if (rc == 0)
		rc = read_position(first, 0, 1, &begun.lsn, &begun.timeline, err);
	if (rc == 0)
		rc = pg_conn_next_rows(c, interrupt, "start a base backup", &list, err);
	if (rc == 0)
		rc = read_tablespaces(list, &tablespaces, &begun.n_tablespaces, err);
	begun.tablespaces = tablespaces;
	begun.form = pg_conn_major(c) < 15 ? BACKUP_COPY_EACH : BACKUP_ONE_COPY;
	if (rc == 0)
		rc = backup_stream_new(&stream, &begun, events, arg, err);
	if (rc == 0)
		rc = receive(c, stream, backup_stream_copies(&begun), interrupt, err);
	/* an error of the server ends the COPY as well: it is told first, because it is the cause of what is missing */
	if (rc == 0)
		rc = pg_conn_next_rows(c, interrupt, "end a base backup", &last, err);
	if (rc == 0)
		rc = read_position(last, 0, 1, &end.lsn, &end.timeline, err);
	if (rc == 0)
		rc = complete(c, interrupt, err);
	if (rc == 0)
		rc = backup_stream_finish(stream, err);
	if (rc == 0 && end.lsn < begun.lsn)
		rc = err_set(err, ERR_CORRUPT, 0, "the server's base backup ended before it began");
	if (rc == 0)
		*stop = end;
	return rc;
}

/* The value of one setting on a replication connection. */
static int
show(struct pg_connection *c, const char *name, char **out, struct err *err)
{
	char command[64];

	(void)snprintf(command, sizeof(command), "SHOW %s", name);
	return pg_conn_query_value(c, command, 0, NULL, out, err);
}

static int
read_settings(struct pg_connection *c, struct basebackup_identity *out, struct err *err)
{
	FREE_AUTO char *segment = NULL, *mode = NULL;
	uint64_t size;
	int rc = show(c, "wal_segment_size", &segment, err);

	if (rc == 0)
		rc = show(c, "data_directory_mode", &mode, err);
	if (rc != 0)
		return rc;
	if (!str_to_size(segment, &size) || !wal_segment_size_valid(size))
		return err_set(err, ERR_CORRUPT, 0, "the server's wal_segment_size is '%.32s'", segment);
	if (strcmp(mode, "0700") != 0 && strcmp(mode, "0750") != 0)
		return err_set(err, ERR_CORRUPT, 0, "the server's data_directory_mode is '%.32s'", mode);
	out->wal_segment_size = (uint32_t)size;
	out->data_directory_mode = mode[2] == '0' ? 0700 : 0750;
	return 0;
}

int
basebackup_identify(struct pg_connection *c, struct basebackup_identity *out, struct err *err)
{
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	struct basebackup_identity id = {0};
	const char *sysid;
	int rc = pg_conn_query(c, "IDENTIFY_SYSTEM", 0, NULL, &rows, err);

	if (rc == 0)
		rc = read_position(rows, 2, 1, &id.flushed, &id.timeline, err);
	if (rc != 0)
		return err_wrap(err, "identify the server");
	sysid = pg_rows_value(rows, 0, 0);
	if (sysid == NULL || !str_to_u64(sysid, 1, UINT64_MAX, &id.system_identifier))
		return err_set(err, ERR_CORRUPT, 0, "the server has no system identifier");
	rc = read_settings(c, &id, err);
	if (rc == 0)
		*out = id;
	return rc;
}
