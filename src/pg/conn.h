/*
 * A connection to a PostgreSQL server: libpq with safe options, and errors as this program has them.
 *
 * Connection strings hold passwords: they are never part of a message, not even where libpq's own text would quote them. A
 * server's error becomes its primary message, detail and SQLSTATE, and a kind by its class: connection lost, shutting down, out
 * of resources, serialization -> ERR_RETRY; authentication, privileges -> ERR_AUTH; corrupted data -> ERR_CORRUPT; what must be
 * changed in the configuration -> ERR_CONFIG; all else ERR_IO.
 */
#ifndef PGCAIRN_PG_CONN_H
#define PGCAIRN_PG_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/scope.h"

struct pg_conn;   /* libpq's PGconn */
struct pg_result; /* libpq's PGresult */

struct pg_connection;
struct pg_rows;

#define PG_MAJOR_MIN 14
#define PG_MAJOR_KNOWN 18 /* the newest that this program was written for */

struct pg_notice {
	const char *severity; /* not translated: WARNING, NOTICE, ... */
	const char *sqlstate;
	const char *message;
	const char *detail; /* "" when there is none */
};

struct pg_conn_options {
	const char *conninfo;                                      /* keywords and values, or a URI; without dbname: postgres */
	const char *application_name;                              /* forced; NULL: "pgcairn" */
	bool replication;                                          /* physical replication; else SQL */
	int connect_timeout_s;                                     /* 0: what conninfo says, else 10 */
	void (*notice)(const struct pg_notice *notice, void *arg); /* NULL: notices are dropped */
	void *notice_arg;
};

/*
 * Asked between messages and about five times a second while waiting: 0 to go on, else a kind (with err filled) which ends the
 * call. The connection is of no further use then. A NULL function never interrupts.
 */
struct pg_interrupt {
	int (*check)(void *arg, struct err *err);
	void *arg;
};

/*
 * An SQL session has search_path = '', UTF8, UTC, ISO dates and no time limits of the server's; a replication connection
 * converts no text. A server older than PG_MAJOR_MIN is ERR_CONFIG; a newer one than PG_MAJOR_KNOWN is accepted, and
 * pg_conn_is_newer lets the caller warn.
 */
int pg_conn_open(struct pg_connection **out, const struct pg_conn_options *options, struct err *err);
void pg_conn_close(struct pg_connection *c); /* NULL is fine */

unsigned pg_conn_major(const struct pg_connection *c);
bool pg_conn_is_newer(const struct pg_connection *c);
int pg_conn_version(const struct pg_connection *c); /* as server_version_num */

/*
 * One statement with n text parameters ($1 .. $n; NULL among them is SQL's NULL), none on a replication connection. *out gets
 * the rows, which may be none; free them with pg_rows_free.
 */
int pg_conn_query(
    struct pg_connection *c, const char *sql, size_t n, const char *const *params, struct pg_rows **out, struct err *err);

/* The only value of the only row, as a new string. ERR_NOT_FOUND for no row or NULL, ERR_CORRUPT for more than one value. */
int pg_conn_query_value(
    struct pg_connection *c, const char *sql, size_t n, const char *const *params, char **out, struct err *err);

size_t pg_rows_count(const struct pg_rows *rows);
size_t pg_rows_columns(const struct pg_rows *rows);
const char *pg_rows_value(const struct pg_rows *rows, size_t row, size_t column); /* NULL: SQL's NULL, or no such place */
void pg_rows_free(struct pg_rows *rows);                                          /* NULL is fine */

/* The kind of error that a SQLSTATE means. "" is a connection that broke without one. */
int pg_sqlstate_kind(const char *sqlstate);

/* For the modules that speak the replication protocol. */

struct pg_conn *pg_conn_libpq(struct pg_connection *c); /* borrowed */

/* Raise what a result, or with NULL the connection itself, says went wrong; what names what was tried. */
int pg_conn_error(struct pg_connection *c, const struct pg_result *result, const char *what, struct err *err);

/* Wait for bytes from the server and take them in. */
int pg_conn_wait(struct pg_connection *c, const struct pg_interrupt *interrupt, struct err *err);

/* The next result, or NULL in *out behind the last; errors in it are not raised. The caller clears it. */
int pg_conn_next_result(struct pg_connection *c, const struct pg_interrupt *interrupt, struct pg_result **out, struct err *err);

/* The next result's rows; an error, or a result that is not rows, is raised. */
int pg_conn_next_rows(
    struct pg_connection *c, const struct pg_interrupt *interrupt, const char *what, struct pg_rows **out, struct err *err);

static inline void
scope_pg_conn(struct pg_connection **c)
{
	pg_conn_close(*c);
}

static inline void
scope_pg_rows(struct pg_rows **rows)
{
	pg_rows_free(*rows);
}

#define PG_CONN_AUTO SCOPE(scope_pg_conn)
#define PG_ROWS_AUTO SCOPE(scope_pg_rows)

#endif
