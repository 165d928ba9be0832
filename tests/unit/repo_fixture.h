/* Repositories in a temporary directory, a writer for them, and a store that breaks when it is told to. For tests of repo/. */
#ifndef PGCAIRN_TESTS_REPO_FIXTURE_H
#define PGCAIRN_TESTS_REPO_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <sodium.h>
#include <cmocka.h>

#include "base/fs.h"
#include "base/str.h"
#include "repo/manifest.h"

#define FIXTURE_TARGETS 2
#define FIXTURE_SYSID UINT64_C(7000000000000000001)
#define FIXTURE_NEVER UINT64_MAX

/* Forwards to the real store; a put fails once it was given more bytes than budget, or at its finish. */
struct flaky_store {
	struct store store; /* first */
	struct store *real;
	uint64_t budget;
	bool finish_fails;
};

struct flaky_sink {
	struct sink sink; /* first */
	struct flaky_store *store;
	struct sink *real;
};

static int
flaky_write(struct sink *s, const void *data, size_t len, struct err *err)
{
	struct flaky_sink *f = (struct flaky_sink *)s;

	if (len > f->store->budget)
		return err_set(err, ERR_IO, 0, "the store broke while it was written to");
	f->store->budget -= f->store->budget == FIXTURE_NEVER ? 0 : len;
	return sink_write(f->real, data, len, err);
}

static int
flaky_finish(struct sink *s, struct err *err)
{
	struct flaky_sink *f = (struct flaky_sink *)s;

	return f->store->finish_fails ? err_set(err, ERR_IO, 0, "the store broke at the end") : sink_finish(f->real, err);
}

static void
flaky_free(struct sink *s)
{
	sink_free(((struct flaky_sink *)s)->real);
	free(s);
}

static inline int
flaky_put(struct store *s, const char *key, struct sink **out, struct err *err)
{
	static const struct sink_ops ops = {flaky_write, flaky_finish, flaky_free};
	struct flaky_sink *f = calloc(1, sizeof(*f));
	int rc = store_put(((struct flaky_store *)s)->real, key, &f->real, err);

	if (rc < 0) {
		free(f);
		return rc;
	}
	f->sink.ops = &ops;
	f->store = (struct flaky_store *)s;
	*out = &f->sink;
	return 0;
}

#define REAL(s) (((struct flaky_store *)(s))->real)

static inline int
flaky_get(struct store *s, const char *key, uint64_t offset, void *data, size_t len, size_t *got, struct err *err)
{
	return store_get(REAL(s), key, offset, data, len, got, err);
}

static inline int
flaky_get_tail(struct store *s, const char *key, void *data, size_t len, size_t *got, uint64_t *size, struct err *err)
{
	return store_get_tail(REAL(s), key, data, len, got, size, err);
}

static inline int
flaky_list(struct store *s, const char *prefix, store_each *each, void *arg, struct err *err)
{
	return store_list(REAL(s), prefix, each, arg, err);
}

static inline int
flaky_stat(struct store *s, const char *key, struct store_stat *out, struct err *err)
{
	return store_stat(REAL(s), key, out, err);
}

static inline void
flaky_close(struct store *s)
{
	store_close(REAL(s));
	free(s);
}

struct fixture {
	char dir[64];
	struct writer writer;
	struct fanout *fanout;
	struct flaky_store *store[FIXTURE_TARGETS]; /* of the repositories "a" and "b" */
};

static inline void
fixture_repository(struct fixture *f, size_t i)
{
	static const struct store_ops ops = {
	    .get = flaky_get,
	    .get_tail = flaky_get_tail,
	    .put = flaky_put,
	    .list = flaky_list,
	    .stat = flaky_stat,
	    .close = flaky_close,
	};
	static const char *const names[] = {"a", "b"};
	struct cluster_founding founding = {
	    .cluster = {1, 2, 3},
	    .lineage = {.sysid = FIXTURE_SYSID, .segment_size = 1 << 20, .major = 15},
	    .comparison_key = f->writer.comparison->bytes,
	    .signer = &f->writer.signing,
	    .signer_name = "test",
	};
	struct fanout_target *t = &f->fanout->targets[i];
	struct flaky_store *store = calloc(1, sizeof(*store));
	char url[128], id[REPOSITORY_ID_TEXT];
	struct repository_options o = {.name = names[i], .url = url, .cluster_name = "main"};
	struct repository *r;

	(void)snprintf(url, sizeof(url), "file://%s/%s", f->dir, names[i]);
	assert_int_equal(repository_create(url, id, NULL), 0);
	assert_int_equal(repository_open(&r, &o, NULL), 0);
	assert_int_equal(repository_found_cluster(r, &founding, NULL), 0);
	repository_free(r);
	assert_int_equal(repository_open(&t->repo, &o, NULL), 0);
	store->store = (struct store){.ops = &ops, .url = url};
	store->store.url = t->repo->store->url;
	store->real = t->repo->store;
	store->budget = FIXTURE_NEVER;
	t->repo->store = &store->store;
	t->name = names[i];
	f->store[i] = store;
}

static inline int
fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(keys_init(NULL), 0);
	memcpy(f->dir, "/tmp/pgcairn-repo-XXXXXX", 25);
	assert_non_null(mkdtemp(f->dir));
	f->writer.wal_codec = f->writer.backup_codec = OBJECT_CODEC_LZ4;
	f->writer.signing.secret = secret_new();
	f->writer.comparison = secret_new();
	crypto_sign_keypair(f->writer.signing.public_key, f->writer.signing.secret->bytes);
	assert_int_equal(fanout_new(&f->fanout, FIXTURE_TARGETS, NULL), 0);
	for (size_t i = 0; i < FIXTURE_TARGETS; i++)
		fixture_repository(f, i);
	*state = f;
	return 0;
}

static inline int
fixture_teardown(void **state)
{
	struct fixture *f = *state;

	fanout_free(f->fanout);
	signing_key_free(&f->writer.signing);
	secret_free(f->writer.comparison);
	assert_int_equal(fs_remove_tree(f->dir, NULL), 0);
	free(f);
	return 0;
}

static inline bool
fixture_has(struct fixture *f, size_t i, const char *relative)
{
	struct store_stat st;
	struct err err;
	int rc = repository_stat(f->fanout->targets[i].repo, relative, &st, &err);

	assert_true(rc == 0 || rc == ERR_NOT_FOUND);
	return rc == 0;
}

#endif
