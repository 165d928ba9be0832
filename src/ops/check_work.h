/* What the parts of check share. For them only. */
#ifndef PGCAIRN_OPS_CHECK_WORK_H
#define PGCAIRN_OPS_CHECK_WORK_H

#include "ops/check.h"
#include "ops/info.h"

struct pg_connection;

/* What the server says of itself. */
struct check_server {
	struct pg_connection *sql; /* NULL: it does not answer */
	uint64_t sysid;
	uint32_t segment_size; /* 0: not known, as the position below */
	bool standby;
	bool archives;       /* archive_mode is not off */
	bool ours;           /* archive_command or archive_library names this program */
	timeline_t timeline; /* of a primary: where it writes */
	lsn_t lsn;
};

/* A segment in pg_wal. */
struct check_wal_file {
	uint64_t segno;
	timeline_t timeline;
	int64_t age_s; /* since it was last written: a closed one was closed then */
};

struct check_pg_wal {
	struct check_wal_file *list; /* in order of number; recycled ones, which have numbers that are yet to come, too */
	size_t n;
};

struct check {
	const struct op *op;
	const struct check_options *options;
	struct info info;
	struct check_server server;
	struct check_pg_wal pg_wal;
	struct check_result *result;
	bool stands_still; /* archiving does: pg_wal grows */
	bool failed;       /* memory is out */
};

/* remedy NULL or "": none. repository "": none. */
void check_add(struct check *c, enum check_severity severity, const char *name, const char *repository, const char *remedy,
    const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* An error, with its hint as the remedy. */
void check_add_err(
    struct check *c, enum check_severity severity, const char *name, const char *repository, const struct err *err);

/* "3 h" for people */
void check_format_age(char *out, size_t size, int64_t seconds);

/* Space that is left, by [check] space-warning and space-critical. */
enum check_severity check_space_severity(const struct check *c, uint64_t free_bytes, uint64_t total_bytes, uint64_t *percent);

void check_identity(struct check *c);
void check_repositories(struct check *c);
/* How far each repository is behind the server, or behind the others where the server does not say. */
void check_lag(struct check *c);

/* These need libpq. */
void check_server(struct check *c); /* all that the server is asked, and what follows from it */
/* Close a segment and see it arrive. False when nothing could be tried. */
bool check_prove(struct check *c);
void check_archiver(struct check *c);
void check_backlog(struct check *c);
void check_pg_wal_read(struct check *c);
void check_pg_wal(struct check *c);

/* One number; -1 when there is none. */
int64_t check_ask_number(const struct check *c, const char *sql);
/* When the archiver's process was started, as text; "" when there is none. False when this role does not see it. */
bool check_archiver_start(const struct check *c, char out[64]);

/*
 * WAL's rate, between the end of a closed segment and lsn: the newest that was closed an hour ago or longer, else the oldest
 * there is. A burst of a few seconds says nothing, so it is spread over ten minutes. lsn 0: where the segment begins that was
 * written last. False when nothing can be said.
 */
#define CHECK_RATE_LEAST_S 600
struct check_rate {
	double bytes_per_s;
	int64_t seconds; /* over which it was taken */
	const struct check_wal_file *since;
};
bool check_wal_rate(const struct check_pg_wal *w, uint32_t segment_size, lsn_t lsn, struct check_rate *out);

#define CHECK_REMEDY_LOG "see the server's log: archive_command says there why it fails"
#define CHECK_WHY_UNCOUNTED                                                                                                    \
	"archive_command ends with a status above 125 or is killed by a signal, which the server counts nowhere"
#define CHECK_REMEDY_UNCOUNTED                                                                                                 \
	"run archive_command by hand as the server's user: 127 is not found, 126 not executable, 137 killed, perhaps "         \
	"for want of memory; then see the server's log"

#endif
