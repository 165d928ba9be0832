#include "catch_up_fixture.h"

#define MOODS 4

/* The store's own operations, and what goes wrong with them. */
static struct mood {
	struct store *store;
	const struct store_ops *real;
	struct store_ops ops;
	int fails[MOOD_CALLS];
	unsigned after[MOOD_CALLS];
} moods[MOODS];

static struct mood *
mood_of(const struct store *s)
{
	for (size_t i = 0; i < MOODS; i++)
		if (moods[i].store == s)
			return &moods[i];
	fail_msg("a store without a mood");
	return NULL;
}

static int
mood_check(struct mood *m, enum mood_call c, struct err *err)
{
	if (m->fails[c] == 0)
		return 0;
	if (m->after[c] > 0) {
		m->after[c]--;
		return 0;
	}
	return err_set(err, m->fails[c], 0, "fails as the test wants");
}

struct mood_sink {
	struct sink sink; /* first */
	struct sink *real;
	struct mood *m;
};

static int
mood_write(struct sink *s, const void *data, size_t len, struct err *err)
{
	struct mood_sink *f = (struct mood_sink *)s;
	int rc = mood_check(f->m, MOOD_WRITE, err);

	return rc < 0 ? rc : sink_write(f->real, data, len, err);
}

static int
mood_finish(struct sink *s, struct err *err)
{
	struct mood_sink *f = (struct mood_sink *)s;
	int rc = mood_check(f->m, MOOD_FINISH, err);

	return rc < 0 ? rc : sink_finish(f->real, err);
}

static void
mood_free(struct sink *s)
{
	sink_free(((struct mood_sink *)s)->real);
	free(s);
}

static int
mood_put(struct store *s, const char *key, struct sink **out, struct err *err)
{
	static const struct sink_ops ops = {.write = mood_write, .finish = mood_finish, .free = mood_free};
	struct mood *m = mood_of(s);
	struct mood_sink *f;
	struct sink *real;
	int rc = mood_check(m, MOOD_PUT, err);

	if (rc == 0)
		rc = m->real->put(s, key, &real, err);
	if (rc < 0)
		return rc;
	f = calloc(1, sizeof(*f));
	*f = (struct mood_sink){.sink.ops = &ops, .real = real, .m = m};
	*out = &f->sink;
	return 0;
}

static int
mood_list(struct store *s, const char *prefix, store_each *each, void *arg, struct err *err)
{
	int rc = mood_check(mood_of(s), MOOD_LIST, err);

	return rc < 0 ? rc : mood_of(s)->real->list(s, prefix, each, arg, err);
}

static int
mood_get(struct store *s, const char *key, uint64_t offset, void *data, size_t len, size_t *got, struct err *err)
{
	int rc = mood_check(mood_of(s), MOOD_GET, err);

	return rc < 0 ? rc : mood_of(s)->real->get(s, key, offset, data, len, got, err);
}

static int
mood_get_tail(struct store *s, const char *key, void *data, size_t len, size_t *got, uint64_t *size, struct err *err)
{
	int rc = mood_check(mood_of(s), MOOD_GET, err);

	return rc < 0 ? rc : mood_of(s)->real->get_tail(s, key, data, len, got, size, err);
}

static int
mood_stat(struct store *s, const char *key, struct store_stat *out, struct err *err)
{
	int rc = mood_check(mood_of(s), MOOD_STAT, err);

	return rc < 0 ? rc : mood_of(s)->real->stat(s, key, out, err);
}

static void
mood_close(struct store *s)
{
	struct mood *m = mood_of(s);

	s->ops = m->real;
	m->store = NULL;
	store_close(s);
}

void
mood_set(struct repository *r, enum mood_call c, int kind, unsigned after)
{
	struct mood *m = NULL;

	for (size_t i = 0; i < MOODS && m == NULL; i++)
		if (moods[i].store == r->store)
			m = &moods[i];
	for (size_t i = 0; i < MOODS && m == NULL; i++) {
		if (moods[i].store != NULL)
			continue;
		m = &moods[i];
		*m = (struct mood){.store = r->store, .real = r->store->ops, .ops = *r->store->ops};
		m->ops.put = mood_put;
		m->ops.list = mood_list;
		m->ops.list_names = mood_list;
		m->ops.get = mood_get;
		m->ops.get_tail = mood_get_tail;
		m->ops.stat = mood_stat;
		m->ops.close = mood_close;
		r->store->ops = &m->ops;
	}
	assert_non_null(m);
	m->fails[c] = kind;
	m->after[c] = after;
}

/* ---- the world ---- */

void
lagging_open(struct lagging *l, size_t repositories)
{
	static const char *const files[] = {"000000010000000000000009", "00000001000000000000000A", "00000001000000000000000B",
	    "00000001000000000000000C", "000000010000000000000012.00000028.backup", "000000010000000000000013.partial",
	    "00000002.history", "000000020000000000000013"};
	static const char *const names[] = {"a", "b", "c"};
	struct err err = {0};

	memset(l, 0, sizeof(*l));
	world_open(&l->w, &(struct world_options){.repositories = repositories});
	assert_int_equal(rename(world_path(&l->w, "repo/b"), world_path(&l->w, "away")), 0);
	world_archive_all(&l->w, files, ARRAY_LEN(files));
	assert_int_equal(rename(world_path(&l->w, "away"), world_path(&l->w, "repo/b")), 0);
	l->target = world_repository(&l->w, "b");
	for (size_t i = 0; i < repositories; i++)
		if (i != 1)
			l->sources[l->n_sources++] = world_repository(&l->w, names[i]);
	must(catch_up_new(&l->c, &err), &err);
}

void
lagging_close(struct lagging *l)
{
	repository_free(l->target);
	for (size_t i = 0; i < l->n_sources; i++)
		repository_free(l->sources[i]);
	catch_up_free(l->c);
	writer_free(l->writer);
	world_close(&l->w);
}

static char *
relative_of(struct lagging *l, const char *file)
{
	struct wal_name name;
	char relative[OBJECT_NAME_MAX];
	struct err err = {0};

	assert_true(wal_name_parse(file, &name));
	must(layout_wal(relative, l->w.sysid, &name, &err), &err);
	return strdup(relative);
}

static void
copy_file(const char *from, const char *to)
{
	BUF_AUTO struct buf bytes = {0};
	struct err err = {0};

	must(fs_read_file(from, 64 << 20, &bytes, &err), &err);
	must(fs_write_file(to, bytes.data, bytes.len, 0600, FS_REPLACE, &err), &err);
}

void
empty(struct lagging *l, const char *repository)
{
	struct err err = {0};

	must(fs_remove_tree(world_object(&l->w, repository, "wal"), &err), &err);
	must(fs_remove_tree(world_object(&l->w, repository, "keys"), &err), &err);
}

void
synthesize_as(struct lagging *l, const char *repository, uint8_t kind, const char *relative, const char *bytes)
{
	struct fanout_target target = {.name = repository};
	struct fanout f = {.targets = &target, .n = 1};
	WRITER_OBJECT_AUTO struct writer_object o = {0};
	BUF_AUTO struct buf clear = {0}, sealed = {0};
	uint8_t content_id[CONTENT_ID] = {0};
	struct epoch epoch;
	struct err err = {0};

	target.repo = strcmp(repository, "b") == 0 ? l->target : l->sources[0];
	if (l->writer == NULL)
		l->writer = world_writer(&l->w);
	memcpy(content_id, bytes, strlen(bytes) < CONTENT_ID ? strlen(bytes) : CONTENT_ID);
	must(writer_wal_epoch(l->writer, &f, &epoch, l->w.sysid, 3, 0, &err), &err);
	must(writer_start(l->writer, &f, &o, kind, relative, &epoch, NULL, NULL, &err), &err);
	if (kind != OBJECT_RECORD)
		must(object_writer_write(o.object, bytes, strlen(bytes), &err), &err);
	must(wal_object_encode(NULL, content_id, strlen(bytes), "x", &clear, &sealed, &err), &err);
	must(object_writer_finish(o.object, &clear, kind != OBJECT_RECORD ? &sealed : NULL, NULL, &err), &err);
}

void
synthesize(struct lagging *l, const char *repository, const struct wal_name *name, const char *bytes)
{
	char relative[OBJECT_NAME_MAX];
	struct err err = {0};

	must(layout_wal(relative, l->w.sysid, name, &err), &err);
	synthesize_as(l, repository, wal_object_kind(name), relative, bytes);
}

/* A file that comes into being at the target: the same as a's, or one that another world's server wrote under this name. */
static void
plant(struct lagging *l)
{
	FREE_AUTO char *relative = relative_of(l, l->plant);
	FREE_AUTO char *from = strdup(world_object(&l->w, "a", relative));

	if (l->plant_other) {
		struct wal_name name;

		assert_true(wal_name_parse(l->plant, &name));
		synthesize(l, "b", &name, "bytes of another server");
	} else {
		FREE_AUTO char *to = strdup(world_object(&l->w, "b", relative));

		copy_file(from, to);
	}
	l->plant = NULL;
}

static bool
stop(void *arg)
{
	struct lagging *l = arg;

	if (l->asked++ == 2 && l->plant != NULL) /* behind the listing, and when the folder is there */
		plant(l);
	return l->stops && l->asked > l->stop_after;
}

static void
trouble(const char *repository, const char *relative, const struct err *why, void *arg)
{
	struct lagging *l = arg;

	assert_true(why->kind < 0 && why->msg[0] != '\0');
	l->told = *why;
	(void)snprintf(l->told_repository, sizeof(l->told_repository), "%s", repository);
	(void)snprintf(l->told_relative, sizeof(l->told_relative), "%s", relative);
}

int
run_round(struct lagging *l, const struct catch_up_round *like, struct catch_up_result *r, struct err *err)
{
	struct catch_up_round round = *like;

	round.target = l->target;
	round.sources = l->sources;
	round.n_sources = l->n_sources;
	round.stop = stop;
	round.trouble = trouble;
	round.arg = l;
	return catch_up_round(l->c, &round, r, err);
}

struct catch_up_result
must_round(struct lagging *l, const struct catch_up_round *like)
{
	struct catch_up_result r;
	struct err err = {0};

	must(run_round(l, like, &r, &err), &err);
	return r;
}

void
must_be_level(const struct catch_up_result *r)
{
	assert_int_equal(r->lacking, 0);
	assert_int_equal(r->lacking_bytes, 0);
	assert_int_equal(r->oldest_us, 0);
}

bool
has(struct lagging *l, const char *repository, const char *file)
{
	FREE_AUTO char *relative = relative_of(l, file);

	return access(world_object(&l->w, repository, relative), F_OK) == 0;
}

void
damage(struct lagging *l, const char *repository, const char *file, int how)
{
	FREE_AUTO char *relative = relative_of(l, file), *another = relative_of(l, "000000010000000000000009");
	FREE_AUTO char *path = strdup(world_object(&l->w, repository, relative));

	copy_file(path, world_path(&l->w, "aside"));
	if (how < 2)
		world_flip(path, how == 0 ? 5000 : -60);
	else if (how == 4)
		copy_file(world_object(&l->w, repository, another), path);
	else
		assert_int_equal(truncate(path, how == 2 ? 9000 : 0), 0);
}

void
restore_from(struct lagging *l, const char *repository, const char *file)
{
	FREE_AUTO char *relative = relative_of(l, file);

	copy_file(world_path(&l->w, "aside"), world_object(&l->w, repository, relative));
}

struct reading {
	struct lagging *l;
	struct repository *r;
	struct keyring *ring;
};

static int
ignore(const void *data, size_t len, void *arg, struct err *err)
{
	(void)data;
	(void)len;
	(void)arg;
	(void)err;
	return 0;
}

static int
read_one(const struct store_entry *e, void *arg, struct err *err)
{
	struct reading *reading = arg;
	const char *relative = e->key + strlen("clusters/c/");
	STORED_AUTO struct stored *s = NULL;
	struct wal_name name;

	assert_true(wal_name_parse(strrchr(relative, '/') + 1, &name));
	must(stored_open(&s, reading->r, relative, wal_object_kind(&name), err), err);
	must(stored_unlock(s, reading->ring, err), err);
	must(stored_read(s, NULL, ignore, NULL, err), err);
	return 0;
}

void
must_read_all(struct lagging *l, const char *repository)
{
	struct reading reading = {.l = l, .r = world_repository(&l->w, repository), .ring = world_keyring(&l->w)};
	struct err err = {0};

	must(store_list(reading.r->store, "clusters/c/wal/", read_one, &reading, &err), &err);
	keyring_free(reading.ring);
	repository_free(reading.r);
}

static int
compare_one(const struct store_entry *e, void *arg, struct err *err)
{
	struct lagging *l = arg;
	const char *relative = e->key + strlen("clusters/c/");
	STORED_AUTO struct stored *a = NULL, *b = NULL;
	uint8_t in_a[CONTENT_ID], in_b[CONTENT_ID];
	struct wal_name name;

	assert_true(wal_name_parse(strrchr(relative, '/') + 1, &name));
	must(stored_open(&a, l->sources[0], relative, wal_object_kind(&name), err), err);
	must(stored_open(&b, l->target, relative, wal_object_kind(&name), err), err);
	must(wal_object_content_id(a->clear, in_a, err), err);
	must(wal_object_content_id(b->clear, in_b, err), err);
	assert_memory_equal(in_a, in_b, CONTENT_ID);
	return 0;
}

void
must_be_the_same(struct lagging *l)
{
	struct err err = {0};

	must(store_list(l->sources[0]->store, "clusters/c/wal/", compare_one, l, &err), &err);
	assert_int_equal(world_count(&l->w, "a", "wal/"), world_count(&l->w, "b", "wal/"));
}
