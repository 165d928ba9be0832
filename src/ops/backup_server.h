/*
 * What a backup has to know of its server beyond the stream: that it is the cluster that is configured, that its WAL is
 * archived, and which files configure it from outside PGDATA. Asked over an SQL session that stays open for later questions.
 */
#ifndef PGCAIRN_OPS_BACKUP_SERVER_H
#define PGCAIRN_OPS_BACKUP_SERVER_H

#include "ops/op.h"
#include "pg/conn.h"
#include "pg/control.h"

struct backup_file {
	char *path;          /* absolute, as the server opens it */
	const char *setting; /* that names it: config_file, hba_file, ident_file; "" for included ones */
};

#define BACKUP_SETTINGS 3

struct backup_server {
	struct pg_connection *sql;
	struct control control;
	bool in_recovery;
	bool checks_pages;         /* data checksums are on, and pages are as pg/page.h knows them */
	char *pgdata;              /* real path */
	struct backup_file *files; /* configuration outside PGDATA, sorted by path, each once */
	size_t n_files;
	struct backup_file own[BACKUP_SETTINGS]; /* in PGDATA, relative to it, where the server would not look by itself */
	size_t n_own;
};

/*
 * Connect, ask, and check: ERR_CONFIG when the server's data directory is not the configured one or when nothing archives its
 * WAL, ERR_AUTH when the role may not see the settings. Warnings go to the log.
 */
int backup_server_open(struct backup_server *out, const struct op *op, struct err *err);
void backup_server_close(struct backup_server *s);

/* The setting that names this file of PGDATA (a relative path) to the server; "" for all that need none. */
const char *backup_server_setting(const struct backup_server *s, const char *path);

/* A position that nothing in the data directory is beyond at this moment; 0 when the server does not say. */
lsn_t backup_server_position(struct backup_server *s);

/* What the archiver's statistics say of its last failure, for a hint: "" when there was none. */
void backup_server_archiver(struct backup_server *s, char *out, size_t size);

#endif
