/* What every verb stands on: who has acknowledged, whose id is pinned, and where a repository may not lie. */
#include "moody_store.h"
#include "world.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "ops/place.h"

static void
the_policy_decides_what_is_acknowledged(void **state)
{
	static const struct {
		const char *policy;
		unsigned done, failed; /* bits of a, b, c */
		bool lost_b;
		int want;
	} rows[] = {
	    {"all", 7, 0, false, 0}, {"all", 3, 4, false, ERR_RETRY}, {"all", 5, 0, true, 0}, {"1", 2, 5, false, 0},
	    {"1", 0, 7, false, ERR_RETRY}, {"2", 5, 2, false, 0}, {"2", 4, 3, false, ERR_RETRY}, {"2", 5, 0, true, 0},
	    {"2", 4, 1, true, ERR_RETRY}, {"a", 1, 6, false, 0}, {"a", 6, 1, false, ERR_RETRY}, {"a, c", 5, 2, false, 0},
	    {"a, c", 3, 4, false, ERR_RETRY}, {"all", 3, 0, false, ERR_BUG}, /* nobody failed and c has it not */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		FREE_AUTO char *more = str_printf("[archive]\nacknowledge = %s\n", rows[i].policy);
		FANOUT_AUTO struct fanout *f = NULL;
		struct world w;
		struct err err = {0};
		size_t at = 0;

		world_make(&w, &(struct world_options){.repositories = 3, .more = more});
		if (rows[i].lost_b)
			w.config->repositories[1].state = CONFIG_REPOSITORY_LOST;
		must(fanout_new(&f, 3, &err), &err);
		for (size_t k = 0; k < 3; k++) {
			if (rows[i].lost_b && k == 1)
				continue;
			f->targets[at].name = w.config->repositories[k].name;
			f->targets[at].done = (rows[i].done & 1U << k) != 0;
			if ((rows[i].failed & 1U << k) != 0)
				fanout_fail(f, at, &(struct err){.kind = ERR_RETRY, .msg = "down"});
			at++;
		}
		f->n = at;
		if (rows[i].want == 0)
			must(op_acknowledged(&w.op, f, &err), &err);
		else
			must_fail(op_acknowledged(&w.op, f, &err), rows[i].want, &err, rows[i].policy);
		if (rows[i].want == ERR_RETRY)
			assert_non_null(strstr(err.msg, "repository '"));
		world_close(&w);
	}
}

static void
a_repository_that_this_host_knows_by_another_id_is_refused(void **state)
{
	struct world w;
	struct err err = {0};
	REPOSITORY_AUTO struct repository *r = NULL;
	FREE_AUTO char *pin = NULL;
	static const struct {
		const char *text;
		int want;
	} rows[] = {{"00112233445566778899aabbccddeeff\n", ERR_CONFIG}, {"", ERR_CORRUPT}, {"short\n", ERR_CORRUPT},
	    {"00112233445566778899aabbccddeeff0\n", ERR_CORRUPT}};

	(void)state;
	world_open(&w, &(struct world_options){0});
	pin = op_pin_path(&w.op, "a");
	assert_int_equal(access(pin, F_OK), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		must(fs_write_file(pin, rows[i].text, strlen(rows[i].text), 0600, FS_REPLACE, &err), &err);
		must_fail(
		    op_open_repository(&w.op, &w.config->repositories[0], NULL, &r, &err), rows[i].want, &err, rows[i].text);
		assert_null(r);
	}
	assert_int_equal(unlink(pin), 0);
	must(op_open_repository(&w.op, &w.config->repositories[0], NULL, &r, &err), &err);
	world_close(&w);
}

static void
one_repository_that_does_not_open_leaves_the_others(void **state)
{
	struct world w;
	struct err err = {0};

	(void)state;
	world_open(&w, &(struct world_options){.repositories = 2});
	for (int gone = 0; gone < 2; gone++) {
		FANOUT_AUTO struct fanout *f = NULL;
		WRITER_AUTO struct writer *writer = world_writer(&w);

		assert_int_equal(rename(world_path(&w, "repo/%s", gone == 0 ? "a" : "b"), world_path(&w, "away%d", gone)), 0);
		if (gone == 1) {
			must_fail(op_open_fanout(&w.op, writer, &f, &err), ERR_IO, &err, "none opens");
			assert_null(f);
			continue;
		}
		must(op_open_fanout(&w.op, writer, &f, &err), &err);
		assert_int_equal(fanout_alive(f), 1);
		assert_true(f->targets[0].failed);
		assert_int_equal(f->targets[0].err.kind, ERR_IO);
	}
	world_close(&w);
}

/* Guards, and behind the first one's a store that hangs until it is let go. */
static struct moody *
hang_first(struct world *w, struct store **s)
{
	const struct guard_options limits = {.limit_ms = 100};
	struct moody *m = moody_new();
	struct err err = {0};

	must(guards_new(&w->op.guards, w->config, &limits, &err), &err);
	must(guard_wrap(guards_of(w->op.guards, &w->config->repositories[0]), s, &m->store, &err), &err);
	moody_hang(m, MOODY_STAT, true);
	must_fail(moody_do(*s, MOODY_STAT, &err), ERR_RETRY, &err, "hangs");
	return m;
}

static void
a_repository_that_hangs_is_out_at_once_and_back_when_it_answers(void **state)
{
	(void)state;
	for (int open_only = 0; open_only < 2; open_only++) {
		struct world w;
		struct store *s;
		struct moody *m;
		struct err err = {0};

		world_open(&w, &(struct world_options){.repositories = 2});
		w.op.guards_open_only = open_only;
		m = hang_first(&w, &s);
		{
			FANOUT_AUTO struct fanout *f = NULL;
			WRITER_AUTO struct writer *writer = world_writer(&w);
			int64_t began = clock_monotonic_ms();

			must(op_open_fanout(&w.op, writer, &f, &err), &err);
			assert_true(clock_monotonic_ms() - began < 10000);
			assert_true(f->targets[0].failed && !f->targets[1].failed);
			assert_int_equal(f->targets[0].err.kind, ERR_RETRY);
			assert_non_null(strstr(f->targets[0].err.msg, "repository 'a' does not answer"));
		}
		must(world_archive(&w, "000000010000000000000009", &err), &err); /* to the one that answers */
		assert_int_equal(world_count(&w, "a", "wal/"), 0);
		moody_hang(m, MOODY_STAT, false);
		store_close(s);
		must(world_archive(&w, "00000001000000000000000A", &err), &err);
		assert_int_equal(world_count(&w, "a", "wal/"), 1);
		assert_int_equal(world_count(&w, "b", "wal/"), 2);
		guards_free(STEAL(w.op.guards));
		moody_free(m);
		world_close(&w);
	}
}

static void
missing_keys_say_how_they_are_made(void **state)
{
	static const char *const files[] = {"state/signing-key", "comparison-key", "recipients"};
	struct world w;

	(void)state;
	world_open(&w, &(struct world_options){0});
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		WRITER_AUTO struct writer *none = NULL;
		struct err err = {0};

		assert_int_equal(rename(world_path(&w, "%s", files[i]), world_path(&w, "away")), 0);
		must_fail(op_open_writer(&w.op, &none, &err), ERR_CONFIG, &err, files[i]);
		assert_non_null(strstr(err.hint, "pgcairn init"));
		assert_int_equal(rename(world_path(&w, "away"), world_path(&w, "%s", files[i])), 0);
	}
	{
		KEYRING_AUTO struct keyring *ring = NULL;
		struct err err = {0};

		assert_int_equal(chmod(world_path(&w, "identity"), 0644), 0);
		must_fail(op_open_keyring(&w.op, &ring, &err), ERR_CONFIG, &err, "readable by all");
		assert_int_equal(unlink(world_path(&w, "identity")), 0);
		must(op_open_keyring(&w.op, &ring, &err), &err); /* an empty ring */
	}
	world_close(&w);
}

/* A writer whose keys are not what the repository records. */
static void
a_writer_must_fit_its_repository(void **state)
{
	struct world w;
	REPOSITORY_AUTO struct repository *r = NULL;
	WRITER_AUTO struct writer *writer = NULL;
	struct err err = {0};

	(void)state;
	world_open(&w, &(struct world_options){0});
	r = world_repository(&w, "a");
	writer = world_writer(&w);
	must(writer_check(writer, r, &err), &err);
	writer->signing.public_key[0] ^= 1;
	must_fail(writer_check(writer, r, &err), ERR_AUTH, &err, "signer");
	writer->signing.public_key[0] ^= 1;
	writer->comparison->bytes[0] ^= 1;
	must_fail(writer_check(writer, r, &err), ERR_CONFIG, &err, "comparison key");
	writer->comparison->bytes[0] ^= 1;
	writer->encrypted = false;
	must_fail(writer_check(writer, r, &err), ERR_CONFIG, &err, "encryption");
	writer->encrypted = true;
	writer->recipients.list[0].key[0] ^= 1;
	must_fail(writer_check(writer, r, &err), ERR_CONFIG, &err, "another recipient");
	writer->recipients.list[0].key[0] ^= 1;
	r->recipients.list[r->recipients.n++].key[0] = 1;
	must_fail(writer_check(writer, r, &err), ERR_CONFIG, &err, "one recipient fewer");
	r->recipients.n--;
	r->has_cluster = false;
	must_fail(writer_check(writer, r, &err), ERR_CONFIG, &err, "not founded");
	world_close(&w);
}

static void
a_repository_lies_apart_from_what_it_protects(void **state)
{
	static const struct {
		const char *path; /* below the world's directory; of the URL */
		int want;
	} rows[] = {
	    {"repo/x", 0},
	    {"pgdata2", 0},
	    {"pgdata", ERR_REFUSED},
	    {"pgdata/backup", ERR_REFUSED},
	    {"pgdata/../pgdata/x", ERR_REFUSED},
	    {"repo/../pgdata", ERR_REFUSED},
	    {"link/x", ERR_REFUSED},
	    {"pg%64ata/x", ERR_REFUSED},
	    {"", ERR_REFUSED}, /* around it */
	    {"state", ERR_REFUSED},
	    {"state/x/y", ERR_REFUSED},
	    {"space/x", ERR_REFUSED}, /* a tablespace */
	    {"spac%65", ERR_REFUSED},
	};
	struct world w;

	(void)state;
	world_make(&w, &(struct world_options){0});
	assert_int_equal(symlink("pgdata", world_path(&w, "link")), 0);
	assert_int_equal(mkdir(world_path(&w, "space"), 0700), 0);
	assert_int_equal(mkdir(world_path(&w, "pgdata/pg_tblspc"), 0700), 0);
	assert_int_equal(symlink(world_path(&w, "space"), world_path(&w, "pgdata/pg_tblspc/16401")), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		FREE_AUTO char *url = str_printf("file://%s/%s", w.dir, rows[i].path);
		const struct config_repository c = {.name = (char *)"x", .url = url};
		struct err err = {0};
		bool same;
		int rc = place_check(&w.op, &c, &same, &err);

		if (rows[i].want == 0) {
			must(rc, &err);
			assert_true(same);
			continue;
		}
		must_fail(rc, rows[i].want, &err, rows[i].path);
		assert_true(err.hint[0] != '\0');
	}
	world_close(&w);
}

static void
a_restore_goes_nowhere_near_a_repository(void **state)
{
	static const struct {
		const char *path;
		int want;
	} rows[] = {{"new", 0}, {"repo/b", 0}, {"repo", ERR_REFUSED}, {"repo/a", ERR_REFUSED}, {"repo/a/x", ERR_REFUSED},
	    {"state/x", ERR_REFUSED}, {".", ERR_REFUSED}};
	struct world w;

	(void)state;
	world_make(&w, &(struct world_options){0});
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};
		int rc = place_check_target(&w.op, world_path(&w, "%s", rows[i].path), &err);

		if (rows[i].want == 0)
			must(rc, &err);
		else
			must_fail(rc, rows[i].want, &err, rows[i].path);
	}
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_policy_decides_what_is_acknowledged),
	    cmocka_unit_test(a_repository_that_this_host_knows_by_another_id_is_refused),
	    cmocka_unit_test(one_repository_that_does_not_open_leaves_the_others),
	    cmocka_unit_test(a_repository_that_hangs_is_out_at_once_and_back_when_it_answers),
	    cmocka_unit_test(missing_keys_say_how_they_are_made),
	    cmocka_unit_test(a_writer_must_fit_its_repository),
	    cmocka_unit_test(a_repository_lies_apart_from_what_it_protects),
	    cmocka_unit_test(a_restore_goes_nowhere_near_a_repository),
	};
	struct err err = {0};

	must(keys_init(&err), &err);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
