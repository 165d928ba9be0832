/*
 * See conn.h. Everything after connecting is asynchronous underneath, so that a caller can stop it while the server is silent
 * (a spread checkpoint may take minutes); a dead peer is found by TCP keepalives, never by a short read timeout.
 */
#include "pg/conn.h"

#include <ctype.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>

#include "base/clock.h"
#include "base/str.h"

#define POLL_MS 200
#define SECOND_TRY_MS 3000
#define PARAMS_MAX 80 /* connection parameters; libpq 15 has 40 */

struct pg_connection {
	PGconn *pq;
	char *password; /* from conninfo, to keep it out of messages; NULL when there is none */
	bool replication;
	void (*notice)(const struct pg_notice *notice, void *arg);
	void *notice_arg;
};

/* struct pg_rows is a PGresult under a name that needs no libpq header. */
static const PGresult *
result_of(const struct pg_rows *rows)
{
	return (const PGresult *)(const void *)rows;
}

static void
scope_conninfo(PQconninfoOption **o)
{
	PQconninfoFree(*o);
}

static void
scope_result(PGresult **r)
{
	PQclear(*r);
}

/* One line of text without line ends, for an error message. */
static void
one_line(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text != '\0' && n + 1 < size; text++) {
		bool blank = isspace((unsigned char)*text);

		if (blank && (n == 0 || out[n - 1] == ' '))
			continue;
		out[n++] = blank ? ' ' : *text;
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

/* libpq quotes parameters that it does not understand, and a slip of the pen puts a password among them. */
static bool
hide_secret(const struct pg_connection *c, char *line, size_t size)
{
	bool hide = (c->password != NULL && strlen(c->password) > 2 && strstr(line, c->password) != NULL) ||
		    strcasestr(line, "password=") != NULL || strstr(line, "://") != NULL;

	if (hide)
		(void)snprintf(line, size, "libpq's message is withheld because it quotes the connection's parameters");
	return hide;
}

int
pg_sqlstate_kind(const char *sqlstate)
{
	static const struct {
		const char *prefix;
		int kind;
	} kinds[] = {
	    {"08", ERR_RETRY},
	    {"57", ERR_RETRY},
	    {"53", ERR_RETRY},
	    {"40", ERR_RETRY},
	    {"55006", ERR_RETRY},
	    {"55P03", ERR_RETRY},
	    {"28", ERR_AUTH},
	    {"42501", ERR_AUTH},
	    {"XX001", ERR_CORRUPT},
	    {"XX002", ERR_CORRUPT},
	    {"42", ERR_CONFIG},
	    {"3D", ERR_CONFIG},
	    {"22023", ERR_CONFIG},
	    {"0A", ERR_CONFIG},
	};

	if (*sqlstate == '\0')
		return ERR_RETRY;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_starts(sqlstate, kinds[i].prefix))
			return kinds[i].kind;
	return ERR_IO;
}

static const char *
field(const PGresult *r, int code)
{
	const char *text = PQresultErrorField(r, code);

	return text != NULL ? text : "";
}

int
pg_conn_error(struct pg_connection *c, const PGresult *result, const char *what, struct err *err)
{
	const char *state = field(result, PG_DIAG_SQLSTATE), *detail = field(result, PG_DIAG_MESSAGE_DETAIL);
	const char *primary = field(result, PG_DIAG_MESSAGE_PRIMARY);
	char line[600], more[300];
	int kind;

	if (*primary == '\0') {
		const char *text = PQresultErrorMessage(result);

		one_line(line, sizeof(line), *text != '\0' ? text : PQerrorMessage(c->pq));
		(void)hide_secret(c, line, sizeof(line));
		/* without a SQLSTATE it is either a lost connection or libpq itself that complains */
		kind = PQstatus(c->pq) == CONNECTION_BAD ? ERR_RETRY : ERR_IO;
		return err_set(
		    err, kind, 0, "%s: %s", what, *line != '\0' ? line : "the server gave an answer that was not expected");
	}
	one_line(line, sizeof(line), primary);
	one_line(more, sizeof(more), detail);
	kind = pg_sqlstate_kind(state);
	return err_set(err, kind, 0, "%s: %s%s%s%s (SQLSTATE %s)", what, line, *more != '\0' ? " (" : "", more,
	    *more != '\0' ? ")" : "", *state != '\0' ? state : "missing");
}

static void
take_notice(void *arg, const PGresult *r)
{
	struct pg_connection *c = arg;
	struct pg_notice n = {
	    .severity = field(r, PG_DIAG_SEVERITY_NONLOCALIZED),
	    .sqlstate = field(r, PG_DIAG_SQLSTATE),
	    .message = field(r, PG_DIAG_MESSAGE_PRIMARY),
	    .detail = field(r, PG_DIAG_MESSAGE_DETAIL),
	};

	if (c->notice != NULL)
		c->notice(&n, c->notice_arg);
}

struct params {
	const char *keys[PARAMS_MAX + 1], *values[PARAMS_MAX + 1];
	size_t n;
};

/* Set a parameter, in place of one that is there. */
static int
force(struct params *p, const char *key, const char *value, struct err *err)
{
	size_t i = 0;

	while (i < p->n && strcmp(p->keys[i], key) != 0)
		i++;
	if (i == PARAMS_MAX)
		return err_set(err, ERR_BUG, 0, "libpq has more than %d connection parameters", PARAMS_MAX);
	p->keys[i] = key;
	p->values[i] = value;
	if (i == p->n)
		p->n++;
	return 0;
}

static int
prefer(struct params *p, const char *key, const char *value, struct err *err)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->keys[i], key) == 0)
			return 0;
	return force(p, key, value, err);
}

/* What conninfo says, and what we want on top of it. timeout is borrowed as long as the parameters live. */
static int
collect(struct params *p, const struct pg_conn_options *o, const PQconninfoOption *given, const char *timeout, struct err *err)
{
	static const struct {
		const char *key, *value;
	} preferred[] = {{"keepalives", "1"}, {"keepalives_idle", "30"}, {"keepalives_interval", "10"},
	    {"keepalives_count", "3"}, {"tcp_user_timeout", "60000"}, {"connect_timeout", "10"}};
	bool service = false;
	int rc = 0;

	for (; rc == 0 && given->keyword != NULL; given++) {
		if (given->val != NULL)
			rc = force(p, given->keyword, given->val, err);
		service |= given->val != NULL && strcmp(given->keyword, "service") == 0;
	}
	/* else libpq would look for a database of the role's name; a service may name its own */
	if (rc == 0 && !service)
		rc = prefer(p, "dbname", "postgres", err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(preferred); i++)
		rc = prefer(p, preferred[i].key, preferred[i].value, err);
	if (rc == 0 && o->connect_timeout_s > 0)
		rc = force(p, "connect_timeout", timeout, err);
	if (rc == 0)
		rc = force(p, "application_name", o->application_name != NULL ? o->application_name : "pgcairn", err);
	if (rc == 0)
		rc = force(p, "client_encoding", o->replication ? "SQL_ASCII" : "UTF8", err);
	if (rc == 0)
		rc = force(p, "replication", o->replication ? "true" : "false", err);
	if (rc == 0 && o->replication)
		rc = force(p, "dbname", "replication", err); /* what a password file calls it */
	return rc;
}

/* The SQLSTATE in libpq's verbose text, "FATAL:  28P01: ...", into code; "" when there is none. */
static void
find_sqlstate(const char *text, char code[6])
{
	code[0] = '\0';
	for (const char *p = strstr(text, ":  "); p != NULL; p = strstr(p + 1, ":  ")) {
		if (strspn(p + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 && (p[8] == ':' || p[8] == '\n')) {
			memcpy(code, p + 3, 5);
			code[5] = '\0';
			return;
		}
	}
}

/*
 * A connection that failed. libpq shows a SQLSTATE in no other way than a verbose message, and verbosity can only be set on a
 * connection object: so a refusal that came quickly is asked for again, and if that works, so much the better.
 */
static int
second_try(struct pg_connection *c, int64_t began_ms, struct err *err)
{
	char line[600], code[6] = "";
	bool needs_password = PQconnectionNeedsPassword(c->pq) == 1;

	one_line(line, sizeof(line), PQerrorMessage(c->pq));
	if (!needs_password && clock_monotonic_ms() - began_ms < SECOND_TRY_MS) {
		(void)PQsetErrorVerbosity(c->pq, PQERRORS_VERBOSE);
		PQreset(c->pq);
		(void)PQsetErrorVerbosity(c->pq, PQERRORS_DEFAULT);
		if (PQstatus(c->pq) == CONNECTION_OK)
			return 0;
		find_sqlstate(PQerrorMessage(c->pq), code);
	}
	if (hide_secret(c, line, sizeof(line)))
		return err_set(err, ERR_CONFIG, 0, "connect to PostgreSQL: %s", line);
	if (code[0] == '\0')
		return err_set(err, needs_password ? ERR_AUTH : ERR_RETRY, 0, "connect to PostgreSQL: %s", line);
	return err_set(err, pg_sqlstate_kind(code), 0, "connect to PostgreSQL: %s (SQLSTATE %s)", line, code);
}

static int
connect_with(struct pg_connection *c, const struct pg_conn_options *o, struct err *err)
{
	SCOPE(scope_conninfo) PQconninfoOption *given = PQconninfoParse(o->conninfo, NULL);
	int64_t began = clock_monotonic_ms();
	struct params p = {0};
	char timeout[16];
	int rc;

	if (given == NULL) { /* libpq's reason quotes the text */
		rc = err_set(err, ERR_CONFIG, 0, "a connection string cannot be read");
		(void)err_hint(
		    err, "it is a list of keyword=value, values with blanks in single quotes, or a postgresql:// URI");
		return rc;
	}
	for (const PQconninfoOption *g = given; g->keyword != NULL; g++) {
		if (strcmp(g->keyword, "password") != 0 || g->val == NULL)
			continue;
		c->password = strdup(g->val);
		if (c->password == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for a connection");
	}
	(void)snprintf(timeout, sizeof(timeout), "%d", o->connect_timeout_s);
	rc = collect(&p, o, given, timeout, err);
	if (rc != 0)
		return rc;
	c->pq = PQconnectdbParams(p.keys, p.values, 0);
	if (c->pq == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a connection");
	(void)PQsetNoticeReceiver(c->pq, take_notice, c);
	return PQstatus(c->pq) == CONNECTION_OK ? 0 : second_try(c, began, err);
}

/* Nothing that a role or a database has set may shorten or redirect what we ask. */
static int
make_safe(struct pg_connection *c, struct err *err)
{
	static const char *const statements[] = {
	    "SELECT pg_catalog.set_config('search_path', '', false), pg_catalog.set_config('datestyle', 'ISO', false), "
	    "pg_catalog.set_config('timezone', 'UTC', false)",
	    "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN ('statement_timeout', "
	    "'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')"};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(statements); i++) {
		PG_ROWS_AUTO struct pg_rows *rows = NULL;

		rc = pg_conn_query(c, statements[i], 0, NULL, &rows, err);
	}
	return rc;
}

int
pg_conn_open(struct pg_connection **out, const struct pg_conn_options *options, struct err *err)
{
	PG_CONN_AUTO struct pg_connection *c = calloc(1, sizeof(*c));
	int rc;

	if (c == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a connection");
	c->replication = options->replication;
	c->notice = options->notice;
	c->notice_arg = options->notice_arg;
	rc = connect_with(c, options, err);
	if (rc != 0)
		return rc;
	if (pg_conn_major(c) < PG_MAJOR_MIN)
		return err_set(err, ERR_CONFIG, 0, "the server is PostgreSQL %u; this program needs %d or newer",
		    pg_conn_major(c), PG_MAJOR_MIN);
	rc = c->replication ? 0 : make_safe(c, err);
	if (rc != 0)
		return rc;
	*out = STEAL(c);
	return 0;
}

void
pg_conn_close(struct pg_connection *c)
{
	if (c == NULL)
		return;
	PQfinish(c->pq);
	if (c->password != NULL)
		explicit_bzero(c->password, strlen(c->password));
	free(c->password);
	free(c);
}

int
pg_conn_version(const struct pg_connection *c)
{
	return PQserverVersion(c->pq);
}

unsigned
pg_conn_major(const struct pg_connection *c)
{
	return (unsigned)(PQserverVersion(c->pq) / 10000);
}

bool
pg_conn_is_newer(const struct pg_connection *c)
{
	return pg_conn_major(c) > PG_MAJOR_KNOWN;
}

PGconn *
pg_conn_libpq(struct pg_connection *c)
{
	return c->pq;
}

/* The connection is gone: what the server said last, behind all data, is the reason if it said anything. */
static int
lost(struct pg_connection *c, struct err *err)
{
	PGresult *r;
	int rc = pg_conn_error(c, NULL, "talk to the server", err);

	while ((r = PQgetResult(c->pq)) != NULL) {
		ExecStatusType status = PQresultStatus(r);
		char *data;
		int n = -1;

		if (*field(r, PG_DIAG_SQLSTATE) != '\0')
			rc = pg_conn_error(c, r, "talk to the server", err);
		PQclear(r);
		if (status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH)
			while ((n = PQgetCopyData(c->pq, &data, 1)) > 0)
				PQfreemem(data);
		if (n == 0) /* it ends within the data, and the same result would come for ever */
			break;
	}
	return rc;
}

int
pg_conn_wait(struct pg_connection *c, const struct pg_interrupt *interrupt, struct err *err)
{
	for (;;) {
		/* what could not be sent yet goes out first: a server that waits for it sends nothing */
		int unsent = PQflush(c->pq);
		struct pollfd fd = {.fd = PQsocket(c->pq), .events = (short)(unsent > 0 ? POLLIN | POLLOUT : POLLIN)};
		int rc = interrupt != NULL && interrupt->check != NULL ? interrupt->check(interrupt->arg, err) : 0;
		int n;

		if (rc != 0)
			return rc;
		if (unsent < 0 || fd.fd < 0)
			return lost(c, err);
		n = poll(&fd, 1, POLL_MS);
		if (n < 0 && errno != EINTR)
			return err_set(err, ERR_IO, errno, "wait for the server");
		if (n <= 0 || (fd.revents & ~POLLOUT) == 0)
			continue;
		return PQconsumeInput(c->pq) == 1 ? 0 : lost(c, err);
	}
}

int
pg_conn_next_result(struct pg_connection *c, const struct pg_interrupt *interrupt, PGresult **out, struct err *err)
{
	while (PQisBusy(c->pq)) {
		int rc = pg_conn_wait(c, interrupt, err);

		if (rc != 0)
			return rc;
	}
	*out = PQgetResult(c->pq);
	return 0;
}

int
pg_conn_next_rows(
    struct pg_connection *c, const struct pg_interrupt *interrupt, const char *what, struct pg_rows **out, struct err *err)
{
	SCOPE(scope_result) PGresult *r = NULL;
	int rc = pg_conn_next_result(c, interrupt, &r, err);

	if (rc != 0)
		return rc;
	if (PQresultStatus(r) != PGRES_TUPLES_OK)
		return pg_conn_error(c, r, what, err);
	*out = (struct pg_rows *)(void *)STEAL(r);
	return 0;
}

int
pg_conn_query(
    struct pg_connection *c, const char *sql, size_t n, const char *const *params, struct pg_rows **out, struct err *err)
{
	SCOPE(scope_result) PGresult *r = NULL;
	ExecStatusType status;

	if (n > 64 || (c->replication && n > 0))
		return err_set(err, ERR_BUG, 0, "a query has parameters that cannot be sent");
	if (c->replication) /* a walsender knows the simple protocol only */
		r = PQexec(c->pq, sql);
	else
		r = PQexecParams(c->pq, sql, (int)n, NULL, params, NULL, NULL, 0);
	status = PQresultStatus(r);
	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		return pg_conn_error(c, r, "query the server", err);
	*out = (struct pg_rows *)(void *)STEAL(r);
	return 0;
}

int
pg_conn_query_value(struct pg_connection *c, const char *sql, size_t n, const char *const *params, char **out, struct err *err)
{
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	const char *value;
	int rc = pg_conn_query(c, sql, n, params, &rows, err);

	if (rc != 0)
		return rc;
	if (pg_rows_columns(rows) > 1 || pg_rows_count(rows) > 1)
		return err_set(err, ERR_CORRUPT, 0, "the server gave more than one value for '%.80s'", sql);
	value = pg_rows_value(rows, 0, 0);
	if (value == NULL)
		return err_set(err, ERR_NOT_FOUND, 0, "the server gave no value for '%.80s'", sql);
	*out = strdup(value);
	return *out != NULL ? 0 : err_set(err, ERR_NOMEM, 0, "out of memory for a value");
}

size_t
pg_rows_count(const struct pg_rows *rows)
{
	return (size_t)PQntuples(result_of(rows));
}

size_t
pg_rows_columns(const struct pg_rows *rows)
{
	return (size_t)PQnfields(result_of(rows));
}

const char *
pg_rows_value(const struct pg_rows *rows, size_t row, size_t column)
{
	const PGresult *r = result_of(rows);

	if (row >= pg_rows_count(rows) || column >= pg_rows_columns(rows) || PQgetisnull(r, (int)row, (int)column))
		return NULL;
	return PQgetvalue(r, (int)row, (int)column);
}

void
pg_rows_free(struct pg_rows *rows)
{
	PQclear((PGresult *)(void *)rows);
}
