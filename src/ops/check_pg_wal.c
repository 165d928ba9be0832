/*
 * pg_wal: how much room there is, and how long it would last if archiving stood still. While archiving works the server takes
 * old segments again, and pg_wal stays as large as it is; the time until full says how much time there is to mend it.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "ops/check_work.h"
#include "pg/conn.h"

struct reading {
	struct check *check;
	const char *directory;
	int64_t now_s;
};

static int
add_file(struct check *c, const char *text, int64_t age_s, struct err *err)
{
	struct check_pg_wal *w = &c->pg_wal;
	struct check_wal_file *more;
	struct wal_name name;

	if (!wal_name_parse(text, &name) || name.kind != WAL_NAME_SEGMENT || !wal_name_fits(&name, c->server.segment_size))
		return 0;
	more = realloc(w->list, (w->n + 1) * sizeof(*more));
	if (more == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for segments");
	w->list = more;
	more[w->n++] = (struct check_wal_file){
	    .segno = wal_name_segno(&name, c->server.segment_size), .timeline = name.timeline, .age_s = age_s > 0 ? age_s : 0};
	return 0;
}

static int
stat_file(const char *name, void *arg, struct err *err)
{
	struct reading *r = arg;
	FREE_AUTO char *path = str_printf("%s/%s", r->directory, name);
	struct stat st;

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	if (stat(path, &st) < 0) /* recycled meanwhile */
		return 0;
	return add_file(r->check, name, r->now_s - st.st_mtime, err);
}

static int
by_segno(const void *a, const void *b)
{
	const struct check_wal_file *x = a, *y = b;

	if (x->segno != y->segno)
		return x->segno < y->segno ? -1 : 1;
	return x->timeline < y->timeline ? -1 : x->timeline > y->timeline;
}

static void
ask_files(struct check *c)
{
	PG_ROWS_AUTO struct pg_rows *rows = NULL;
	uint64_t age;

	if (c->server.sql == NULL ||
	    pg_conn_query(c->server.sql,
		"SELECT name, greatest(0, extract(epoch FROM pg_catalog.clock_timestamp() - modification))::int8::text"
		" FROM pg_catalog.pg_ls_waldir()",
		0, NULL, &rows, NULL) < 0)
		return;
	for (size_t i = 0; i < pg_rows_count(rows); i++)
		if (pg_rows_value(rows, i, 1) != NULL && str_to_u64(pg_rows_value(rows, i, 1), 0, INT64_MAX, &age))
			(void)add_file(c, pg_rows_value(rows, i, 0), (int64_t)age, NULL);
}

/* From the disk, else from the server, which shows them to whoever may ask; a list that is empty says that neither does. */
void
check_pg_wal_read(struct check *c)
{
	const char *pgdata = c->op->cluster->pgdata;
	FREE_AUTO char *directory = pgdata != NULL ? str_printf("%s/pg_wal", pgdata) : NULL;
	struct reading r = {c, directory, clock_now_us() / 1000000};

	for (size_t i = 0; c->server.segment_size == 0 && i < c->info.n; i++) { /* the server does not say */
		const struct info_repository *repo = &c->info.repositories[i];

		if (repo->state == INFO_OK && repo->repo->n_lineage > 0)
			c->server.segment_size = repo->repo->lineage[repo->repo->n_lineage - 1].segment_size;
	}
	if (c->server.segment_size == 0)
		return;
	if (directory == NULL || fs_list_dir(directory, stat_file, &r, NULL) < 0)
		ask_files(c);
	if (c->pg_wal.n > 0)
		qsort(c->pg_wal.list, c->pg_wal.n, sizeof(*c->pg_wal.list), by_segno);
}

/* Says how it was estimated. */
static void
describe_rate(const struct check *c, const struct check_rate *rate, char *out, size_t size)
{
	char name[WAL_NAME_MAX], bytes[16], span[32];

	wal_segment_name(name, rate->since->timeline, rate->since->segno, c->server.segment_size);
	str_from_size(bytes, sizeof(bytes), (uint64_t)(rate->bytes_per_s * 3600));
	check_format_age(span, sizeof(span), rate->seconds);
	(void)snprintf(out, size, "%s of WAL an hour, taken over %s from what came behind segment %s", bytes, span, name);
}

static enum check_severity
worse(enum check_severity a, enum check_severity b)
{
	return a > b ? a : b;
}

static void
report(struct check *c, uint64_t free_bytes, uint64_t total_bytes)
{
	static const char remedy[] =
	    "see docs/operations.md, \"pg_wal fills\": make room or mend archiving; never delete in pg_wal";
	struct check_result *r = c->result;
	int64_t limit = c->op->config->pg_wal_full_in_ms / 1000;
	struct check_rate rate;
	char size[16], text[256], full[32];
	uint64_t percent;
	enum check_severity s = check_space_severity(c, free_bytes, total_bytes, &percent);

	r->pg_wal_free = free_bytes;
	r->pg_wal_total = total_bytes;
	str_from_size(size, sizeof(size), free_bytes);
	if (!check_wal_rate(&c->pg_wal, c->server.segment_size, c->server.lsn, &rate)) {
		check_add(c, s, "pg-wal", "", s > CHECK_NOTE ? remedy : NULL,
		    "%s free, %" PRIu64 " %%; how fast it would fill is not known", size, percent);
		return;
	}
	r->pg_wal_rate = rate.bytes_per_s;
	r->pg_wal_full_s = rate.bytes_per_s < 1 ? INT64_MAX : (int64_t)((double)free_bytes / rate.bytes_per_s);
	describe_rate(c, &rate, text, sizeof(text));
	check_format_age(full, sizeof(full), r->pg_wal_full_s);
	if (r->pg_wal_full_s < limit)
		s = worse(s, c->stands_still ? CHECK_CRITICAL : CHECK_WARNING);
	if (r->pg_wal_full_s == INT64_MAX)
		check_add(c, s, "pg-wal", "", s > CHECK_NOTE ? remedy : NULL, "%s free, %" PRIu64 " %%; it hardly fills: %s",
		    size, percent, text);
	else
		check_add(c, s, "pg-wal", "", s > CHECK_NOTE ? remedy : NULL, "%s free, %" PRIu64 " %%; %s full in %s: %s",
		    size, percent,
		    c->stands_still ? "archiving stands still, and it is" : "if archiving stood still it would be", full, text);
}

void
check_pg_wal(struct check *c)
{
	const char *pgdata = c->op->cluster->pgdata;
	FREE_AUTO char *directory = pgdata != NULL ? str_printf("%s/pg_wal", pgdata) : NULL;
	struct statvfs v;

	if (directory == NULL) {
		check_add(c, CHECK_NOTE, "pg-wal", "", "check on the server's host, with pgdata set in [cluster]",
		    "how much room pg_wal has cannot be seen from here");
		return;
	}
	if (statvfs(directory, &v) < 0) {
		check_add(c, CHECK_NOTE, "pg-wal", "", "check as the server's user",
		    "how much room pg_wal has cannot be seen: '%s': %s", directory, strerror(errno));
		return;
	}
	report(c, (uint64_t)v.f_bavail * v.f_frsize, (uint64_t)v.f_blocks * v.f_frsize);
}
