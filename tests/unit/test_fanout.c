/* One object to several stores: whoever fails drops out, the others complete, and nothing half-written is ever visible. */
#include "check.h"
#include "memory.h"

#include "base/json.h"
#include "keys/sign.h"
#include "repo/fanout.h"

/* A store in memory that takes one object at a time and fails where the test says. */
struct fake {
	struct store store; /* first */
	struct memory_place place;
	int put_kind; /* of put itself, when not 0 */
	int settle_kind;
	unsigned puts, settles;
};

static int
fake_put(struct store *s, const char *key, struct sink **out, struct err *err)
{
	struct fake *f = (struct fake *)s;

	assert_int_equal(strncmp(key, "clusters/c/", 11), 0);
	f->puts++;
	if (f->put_kind != 0)
		return err_set(err, f->put_kind, 0, "put fails as the test wants");
	*out = memory_sink(&f->place);
	return 0;
}

static int
fake_settle(struct store *s, const char *key, struct err *err)
{
	struct fake *f = (struct fake *)s;

	(void)key;
	f->settles++;
	return f->settle_kind != 0 ? err_set(err, f->settle_kind, 0, "settle fails as the test wants") : 0;
}

static void
fake_close(struct store *s)
{
	struct fake *f = (struct fake *)s;

	assert_int_equal(f->place.open, 0);
	assert_int_equal(f->place.after_err, 0);
	buf_free(&f->place.visible);
}

static const struct store_ops fake_ops = {.put = fake_put, .settle = fake_settle, .close = fake_close};

struct group {
	struct fake fakes[3];
	struct fanout *f;
};

static struct group *
group_new(size_t n)
{
	static const char *const names[] = {"a", "b", "c"};
	struct group *g = calloc(1, sizeof(*g));
	struct err err = {0};

	must(fanout_new(&g->f, n, &err), &err);
	for (size_t i = 0; i < n; i++) {
		struct repository *r = calloc(1, sizeof(*r));

		g->fakes[i].store.ops = &fake_ops;
		g->fakes[i].place.fail_at = UINT64_MAX;
		r->store = &g->fakes[i].store;
		memcpy(r->cluster_name, "c", 2);
		memcpy(r->name, names[i], 2);
		g->f->targets[i].name = names[i];
		g->f->targets[i].repo = r;
	}
	return g;
}

static void
group_free(struct group *g)
{
	fanout_free(g->f);
	free(g);
}

static int
put_hello(struct group *g, const bool *skip, struct err *err)
{
	SINK_AUTO struct sink *sink = NULL;
	int rc = fanout_put(g->f, "wal/1/x", skip, &sink, err);

	for (int i = 0; rc == 0 && i < 5; i++)
		rc = sink_write(sink, &"hello"[i], 1, err);
	return rc < 0 ? rc : sink_finish(sink, err);
}

enum trouble { NONE, AT_PUT, AT_FIRST_WRITE, AT_WRITE, AT_FINISH, EXISTS, TROUBLES };

static void
make_trouble(struct fake *f, enum trouble t)
{
	f->place.fail_kind = ERR_NOSPACE;
	switch (t) {
	case AT_PUT:
		f->put_kind = ERR_NOSPACE;
		break;
	case AT_FIRST_WRITE:
		f->place.fail_at = 0;
		break;
	case AT_WRITE:
		f->place.fail_at = 3;
		break;
	case EXISTS:
		f->place.fail_kind = ERR_EXISTS;
		f->place.fail_finish = true;
		break;
	case AT_FINISH:
		f->place.fail_finish = true;
		break;
	default:
		break;
	}
}

static void
expect_target(const struct group *g, size_t i, enum trouble t)
{
	const struct fanout_target *target = &g->f->targets[i];
	const struct memory_place *p = &g->fakes[i].place;

	assert_int_equal(target->done, t == NONE);
	assert_int_equal(target->existed, t == EXISTS);
	assert_int_equal(target->failed, t != NONE && t != EXISTS);
	assert_int_equal(p->visible.len, t == NONE ? 5 : 0);
	assert_int_equal(p->open, 0);
	if (!target->failed)
		return;
	assert_int_equal(target->err.kind, ERR_NOSPACE);
	assert_non_null(strstr(target->err.msg, i == 0 ? "repository 'a'" : "repository 'b'"));
}

static void
every_pair_of_troubles_leaves_what_it_must(void **state)
{
	(void)state;
	for (enum trouble a = NONE; a < TROUBLES; a++) {
		for (enum trouble b = NONE; b < TROUBLES; b++) {
			struct group *g = group_new(2);
			bool nobody = a != NONE && a != EXISTS && b != NONE && b != EXISTS;
			struct err err = {0};

			make_trouble(&g->fakes[0], a);
			make_trouble(&g->fakes[1], b);
			if (nobody)
				must_fail(put_hello(g, NULL, &err), ERR_NOSPACE, &err, "nobody is left");
			else
				must(put_hello(g, NULL, &err), &err);
			assert_int_equal(fanout_alive(g->f) == 0, nobody);
			if (nobody)
				assert_null(fanout_first(g->f));
			expect_target(g, 0, a);
			expect_target(g, 1, b);
			group_free(g);
		}
	}
}

static void
a_target_that_failed_or_is_skipped_is_not_asked(void **state)
{
	struct group *g = group_new(3);
	const bool skip[] = {false, true, false};
	struct err why = {.kind = ERR_IO, .msg = "gone"}, err = {0};

	(void)state;
	g->f->targets[1].done = true; /* has it already */
	fanout_fail(g->f, 0, &why);
	assert_string_equal(g->f->targets[0].err.msg, "repository 'a': gone");
	must(put_hello(g, skip, &err), &err);
	assert_int_equal(g->fakes[0].puts, 0);
	assert_int_equal(g->fakes[1].puts, 0);
	assert_int_equal(g->fakes[2].puts, 1);
	assert_true(g->f->targets[1].done);
	assert_false(g->f->targets[0].done);
	assert_ptr_equal(fanout_first(g->f), g->f->targets[1].repo);
	group_free(g);
}

/* A manifest must not become visible where one of its packs is missing. */
static void
a_target_that_fails_drops_out_of_every_open_sink(void **state)
{
	struct group *g = group_new(2);
	SINK_AUTO struct sink *manifest = NULL;
	struct err err = {0};

	(void)state;
	must(fanout_put(g->f, "backup/x/manifest-0000", NULL, &manifest, &err), &err);
	must(sink_write(manifest, "m", 1, &err), &err);
	fanout_fail(g->f, 0, &(struct err){.kind = ERR_IO, .msg = "a pack"});
	must(sink_write(manifest, "m", 1, &err), &err);
	must(sink_finish(manifest, &err), &err);
	assert_int_equal(g->fakes[0].place.visible.len, 0);
	assert_int_equal(g->fakes[0].place.open, 0);
	assert_int_equal(g->fakes[1].place.visible.len, 2);
	sink_free(STEAL(manifest));
	must(fanout_put(g->f, "backup/x/manifest-0001", NULL, &manifest, &err), &err);
	fanout_fail(g->f, 1, &(struct err){.kind = ERR_AUTH, .msg = "last one"});
	must_fail(sink_write(manifest, "m", 1, &err), ERR_AUTH, &err, "nobody is left");
	sink_free(STEAL(manifest));
	group_free(g);
}

static void
a_sink_that_is_thrown_away_publishes_nowhere(void **state)
{
	struct group *g = group_new(2);
	struct sink *sink = NULL;
	struct err err = {0};

	(void)state;
	must(fanout_put(g->f, "wal/1/x", NULL, &sink, &err), &err);
	must(sink_write(sink, "hello", 5, &err), &err);
	sink_free(sink);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(g->fakes[i].place.visible.len, 0);
		assert_int_equal(g->fakes[i].place.open, 0);
		assert_false(g->f->targets[i].done);
	}
	group_free(g);
}

static void
a_record_that_exists_is_settled(void **state)
{
	JSON_AUTO json_t *o = json_object();
	struct signing_key signer = {.secret = secret_new()};
	struct err err = {0};

	(void)state;
	memory_signing_key(signer.secret->bytes, 1);
	for (int row = 0; row < 3; row++) {
		struct group *g = group_new(2);

		g->fakes[0].place.fail_finish = true;
		g->fakes[0].place.fail_kind = row < 2 ? ERR_EXISTS : ERR_IO;
		g->fakes[0].settle_kind = row == 1 ? ERR_IO : 0;
		must(fanout_put_record(g->f, "keys/x/0000", OBJECT_RECORD, o, &signer, &err), &err);
		assert_int_equal(g->fakes[0].settles, row < 2);
		assert_int_equal(g->f->targets[0].done, row == 0);
		assert_int_equal(g->f->targets[0].failed, row > 0);
		assert_true(g->f->targets[1].done);
		assert_int_equal(g->fakes[1].settles, 0);
		g->fakes[1].put_kind = ERR_RETRY;
		if (row > 0)
			must_fail(
			    fanout_put_record(g->f, "keys/y/0000", OBJECT_RECORD, o, &signer, &err), ERR_RETRY, &err, "nobody");
		group_free(g);
	}
	signing_key_free(&signer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_pair_of_troubles_leaves_what_it_must),
	    cmocka_unit_test(a_target_that_failed_or_is_skipped_is_not_asked),
	    cmocka_unit_test(a_target_that_fails_drops_out_of_every_open_sink),
	    cmocka_unit_test(a_sink_that_is_thrown_away_publishes_nowhere),
	    cmocka_unit_test(a_record_that_exists_is_settled),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
