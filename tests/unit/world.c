#include "world.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "ops/archive.h"
#include "ops/init.h"
#include "pg/control.h"
#include "pg/crc32c.h"
#include "repo/pack.h"
#include "wal_fixture.h"

static const char *const names[] = {"a", "b", "c"};

const char *
world_path(struct world *w, const char *fmt, ...)
{
	static char text[4][512];
	static unsigned next;
	char *out = text[next++ % 4];
	size_t n = (size_t)snprintf(out, sizeof(text[0]), "%s/", w->dir);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(out + n, sizeof(text[0]) - n, fmt, ap);
	va_end(ap);
	return out;
}

static void
put_file(const char *path, const void *data, size_t len)
{
	struct err err = {0};

	must(fs_write_file(path, data, len, 0600, FS_REPLACE, &err), &err);
}

static void
write_config(struct world *w, const struct world_options *o)
{
	BUF_AUTO struct buf b = {0};
	const char *d = w->dir;
	struct err err = {0};

	must(buf_printf(&b, &err,
		 "[pgcairn]\nstate-directory = %s/state\nrun-directory = %s/run\n[cluster:c]\npgdata = %s/pgdata\n%s\n[keys]\n"
		 "recipients-file = %s/recipients\ncomparison-key = %s/comparison-key\nidentity = %s/identity\n"
		 "signers-file = %s/signers\n",
		 d, d, d, o->cluster != NULL ? o->cluster : "", d, d, d, d),
	    &err);
	for (size_t i = 0; i < w->n; i++)
		must(buf_printf(&b, &err, "[repository:%s]\nurl = file://%s/repo/%s\n", names[i], d, names[i]), &err);
	if (o->more != NULL)
		must(buf_printf(&b, &err, "%s\n", o->more), &err);
	else if (w->n > 1)
		must(buf_printf(&b, &err, "[archive]\nacknowledge = 1\n"), &err);
	put_file(world_path(w, "pgcairn.conf"), b.data, b.len);
}

void
world_make(struct world *w, const struct world_options *o)
{
	const char *tmp = getenv("TMPDIR");
	FREE_AUTO uint8_t *control = NULL;
	struct err err = {0};
	size_t len;

	memset(w, 0, sizeof(*w));
	(void)snprintf(w->dir, sizeof(w->dir), "%s/pgcairn-world-XXXXXX", tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(w->dir));
	w->n = o->repositories != 0 ? o->repositories : 1;
	must(fs_make_dirs(world_path(w, "pgdata/global"), 0700, &err), &err);
	must(fs_make_dirs(world_path(w, "pgdata/pg_wal"), 0700, &err), &err);
	must(fs_make_dirs(world_path(w, "repo"), 0700, &err), &err);
	control = fixture(o->control != NULL ? o->control : "control-main", &len);
	put_file(world_path(w, "pgdata/global/pg_control"), control, len);
	put_file(world_path(w, "pgdata/PG_VERSION"), "15\n", 3);
	write_config(w, o);
	must(config_load(&w->config, world_path(w, "pgcairn.conf"), &err), &err);
	w->log = (struct log){.level = LOG_ERROR, .fd = open("/dev/null", O_WRONLY | O_CLOEXEC), .program = "test"};
	w->op = (struct op){.config = w->config, .log = &w->log};
	must(config_cluster(w->config, "c", &w->op.cluster, &err), &err);
}

void
world_init(struct world *w)
{
	struct init_result result;
	struct control control;
	struct err err = {0};

	must(init_run(&w->op, &(struct init_options){0}, &result, &err), &err);
	init_result_free(&result);
	must(control_read_pgdata(w->config->clusters[0].pgdata, &control, &err), &err);
	w->sysid = control.sysid;
}

void
world_open(struct world *w, const struct world_options *o)
{
	world_make(w, o);
	world_init(w);
}

void
world_close(struct world *w)
{
	config_free(w->config);
	(void)close(w->log.fd);
	(void)fs_remove_tree(w->dir, NULL);
}

int
world_teardown(void **state)
{
	world_close(*state);
	free(*state);
	return 0;
}

const char *
world_wal_file(struct world *w, const char *name)
{
	const char *slash = strrchr(name, '/'), *path = world_path(w, "pgdata/pg_wal/%s", slash != NULL ? slash + 1 : name);
	FREE_AUTO uint8_t *data = NULL;
	size_t len;

	data =
	    str_ends(name, ".history") || str_ends(name, ".backup") ? (uint8_t *)fixture_raw(name, &len) : fixture(name, &len);
	put_file(path, data, len);
	return path;
}

int
world_archive(struct world *w, const char *name, struct err *err)
{
	const char *path = world_wal_file(w, name);

	return archive_file(&w->op, path, strrchr(path, '/') + 1, NULL, err);
}

void
world_archive_all(struct world *w, const char *const *list, size_t n)
{
	struct err err = {0};

	for (size_t i = 0; i < n; i++)
		must(world_archive(w, list[i], &err), &err);
}

/* A backup under way: what goes into it, and what comes of it. */
struct taking {
	struct world *w;
	struct pack_writer *packs;
	struct manifest_head head;
	struct manifest_counts counts;
	struct buf lines;
};

static void
take_file(struct taking *t, const char *path, const void *data, size_t len)
{
	struct manifest_run run = {0};
	struct manifest_entry e = {.kind = MANIFEST_FILE, .mode = 0600, .size = len, .runs = &run, .n_runs = 1};
	struct err err = {0};

	(void)snprintf(e.path, sizeof(e.path), "%s", path);
	e.crc32c = crc32c_final(crc32c_update(CRC32C_INIT, data, len));
	must(pack_writer_append(t->packs, data, len, &run, &err), &err);
	must(manifest_entry_encode(&e, &t->lines, &err), &err);
	t->counts.files++;
	t->head.files++;
	t->head.size += len;
}

/* What every backup has. */
static void
take_files(struct taking *t)
{
	struct manifest_entry global = {.kind = MANIFEST_DIRECTORY, .path = "global", .mode = 0700};
	BUF_AUTO struct buf control = {0};
	struct err err = {0};

	must(fs_read_file(world_path(t->w, "pgdata/global/pg_control"), 65536, &control, &err), &err);
	must(manifest_entry_encode(&global, &t->lines, &err), &err);
	t->counts.dirs++;
	take_file(t, "backup_label", "made up\n", 8);
	take_file(t, "PG_VERSION", "15\n", 3);
	take_file(t, "global/pg_control", control.data, control.len);
	must(manifest_end_encode(&t->counts, &t->lines, &err), &err);
}

void
world_backup_of(struct world *w, uint64_t sysid, const char *label, timeline_t timeline, uint64_t first)
{
	const lsn_t begin = wal_segment_start(first, 1 << 20);
	struct taking t = {.w = w,
	    .head = {.sysid = sysid,
		.major = 15,
		.server_version = 150020,
		.segment_size = 1 << 20,
		.start_timeline = timeline,
		.stop_timeline = timeline,
		.start_lsn = begin + 0x28,
		.checkpoint_lsn = begin + 0x30,
		.stop_lsn = begin + 0x60,
		.start_time_us = 1,
		.stop_time_us = 2}};
	WRITER_AUTO struct writer *writer = world_writer(w);
	FANOUT_AUTO struct fanout *f = world_fanout(w, writer);
	WRITER_OBJECT_AUTO struct writer_object o = {0};
	BUF_AUTO struct buf clear = {0}, sealed = {0};
	char name[OBJECT_NAME_MAX];
	struct epoch epoch;
	struct err err = {0};

	(void)snprintf(t.head.label, sizeof(t.head.label), "%s", label);
	must(layout_manifest(name, label, 0, &err), &err);
	must(writer_new_epoch(writer, f, "backup", &epoch, &err), &err);
	must(pack_writer_new(&t.packs, writer, f, &epoch, label, NULL, &err), &err);
	take_files(&t);
	must(pack_writer_finish(t.packs, &t.head.packs, &t.head.n_packs, &err), &err);
	pack_writer_free(t.packs);
	must(writer_start(writer, f, &o, OBJECT_MANIFEST, name, &epoch, NULL, NULL, &err), &err);
	must(object_writer_write(o.object, t.lines.data, t.lines.len, &err), &err);
	must(manifest_head_encode(&t.head, &clear, &err), &err);
	must(buf_append(&sealed, "{}", 2, &err), &err);
	must(object_writer_finish(o.object, &clear, &sealed, NULL, &err), &err);
	manifest_head_free(&t.head);
	buf_free(&t.lines);
}

void
world_backup(struct world *w, const char *label, timeline_t timeline, uint64_t first)
{
	world_backup_of(w, w->sysid, label, timeline, first);
}

struct repository *
world_repository(struct world *w, const char *name)
{
	const struct config_repository *c = config_repository(w->config, name);
	struct repository *r = NULL;
	struct err err = {0};

	assert_non_null(c);
	must(op_open_repository(&w->op, c, NULL, &r, &err), &err);
	return r;
}

struct writer *
world_writer(struct world *w)
{
	struct writer *out = NULL;
	struct err err = {0};

	must(op_open_writer(&w->op, &out, &err), &err);
	return out;
}

struct fanout *
world_fanout(struct world *w, const struct writer *writer)
{
	struct fanout *out = NULL;
	struct err err = {0};

	must(op_open_fanout(&w->op, writer, &out, &err), &err);
	return out;
}

struct keyring *
world_keyring(struct world *w)
{
	struct keyring *out = NULL;
	struct err err = {0};

	must(op_open_keyring(&w->op, &out, &err), &err);
	return out;
}

struct counting {
	unsigned n;
	char first[STORE_KEY_MAX];
};

static int
count(const struct store_entry *e, void *arg, struct err *err)
{
	struct counting *c = arg;

	(void)err;
	if (c->n++ == 0)
		(void)snprintf(c->first, sizeof(c->first), "%s", e->key);
	return 0;
}

static struct counting
list(struct world *w, const char *repository, const char *prefix)
{
	FREE_AUTO char *url = str_printf("file://%s/repo/%s", w->dir, repository), *key = str_printf("clusters/c/%s", prefix);
	STORE_AUTO struct store *s = NULL;
	struct counting c = {0};
	struct err err = {0};

	must(store_open(&s, url, false, &err), &err);
	must(store_list(s, key, count, &c, &err), &err);
	return c;
}

unsigned
world_count(struct world *w, const char *repository, const char *prefix)
{
	return list(w, repository, prefix).n;
}

const char *
world_first(struct world *w, const char *repository, const char *prefix)
{
	struct counting c = list(w, repository, prefix);

	assert_true(c.n > 0);
	return world_path(w, "%s", c.first + strlen("clusters/c/")) + strlen(w->dir) + 1;
}

const char *
world_object(struct world *w, const char *repository, const char *relative)
{
	return world_path(w, "repo/%s/clusters/c/%s", repository, relative);
}

void
world_flip(const char *path, long at)
{
	struct stat st;
	uint8_t byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 && chmod(path, 0600) == 0)
		fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	if (at < 0)
		at += st.st_size;
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x20;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	assert_int_equal(close(fd), 0);
}
