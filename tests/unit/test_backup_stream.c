#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "pg/backup_stream.h"
#include "tar_builder.h"

static const struct backup_tablespace tablespaces[] = {{16400, "/srv/ts", 10}, {0, "", 20}};
static const struct backup_start start = {.lsn = 1, .timeline = 1, .tablespaces = tablespaces, .n_tablespaces = 2};

struct log {
	struct buf text;
	int fail_at;
	int calls;
};

static int
note(struct log *l, struct err *err, const char *what, const char *name)
{
	assert_int_equal(buf_printf(&l->text, NULL, "%s%s ", what, name), 0);
	return ++l->calls == l->fail_at ? err_set(err, ERR_NOSPACE, 0, "told to fail") : 0;
}

static int
on_started(const struct backup_start *begun, void *arg, struct err *err)
{
	return note(arg, err, "start=", begun->form == BACKUP_COPY_EACH ? "each" : "one");
}

static int
on_archive(size_t i, void *arg, struct err *err)
{
	return note(arg, err, "archive=", i == 0 ? "0" : "1");
}

static int
on_directory(const struct tar_entry *e, void *arg, struct err *err)
{
	return note(arg, err, "dir=", e->name);
}

static int
on_symlink(const struct tar_entry *e, void *arg, struct err *err)
{
	return note(arg, err, "link=", e->link);
}

static int
on_file(const struct tar_entry *e, void *arg, struct err *err)
{
	return note(arg, err, "file=", e->name);
}

static int
on_data(const void *bytes, size_t len, void *arg, struct err *err)
{
	struct log *l = arg;

	assert_int_equal(buf_append(&l->text, bytes, len, NULL), 0);
	return note(l, err, "", "");
}

static int
on_file_end(void *arg, struct err *err)
{
	return note(arg, err, "end", "");
}

static int
on_archive_end(void *arg, struct err *err)
{
	return note(arg, err, "done", "");
}

static int
on_progress(uint64_t done, void *arg, struct err *err)
{
	return note(arg, err, "progress=", done == 258 ? "258" : "?");
}

static const struct backup_events events = {
    .started = on_started,
    .archive_begin = on_archive,
    .directory = on_directory,
    .symlink = on_symlink,
    .file_begin = on_file,
    .file_data = on_data,
    .file_end = on_file_end,
    .archive_end = on_archive_end,
    .manifest_data = on_data,
    .progress = on_progress,
};

/* A script: each letter sends one message. */
static int
send(struct backup_stream *s, char what, struct err *err)
{
	BUF_AUTO struct buf b = {0};

	switch (what) {
	case 'T': /* the tablespace's archive */
		return backup_stream_message(s, "n16400.tar\0/srv/ts", 19, err);
	case 'B': /* the data directory's */
		return backup_stream_message(s, "nbase.tar\0", 11, err);
	case 'U':
		return backup_stream_message(s, "n16401.tar\0/srv/ts", 19, err);
	case 'L': /* at another place */
		return backup_stream_message(s, "n16400.tar\0/srv/tx", 19, err);
	case 'f':
		assert_int_equal(buf_append(&b, "d", 1, NULL), 0);
		tar_add(&b, "base/", '5', "", "");
		tar_add(&b, "pg_wal/", '2', "", "/wal");
		tar_add(&b, "base/x", '0', "abc", "");
		return backup_stream_message(s, b.data, b.len, err);
	case 'h': /* half an entry */
		assert_int_equal(buf_append(&b, "d", 1, NULL), 0);
		tar_add(&b, "base/x", '0', "abc", "");
		return backup_stream_message(s, b.data, 600, err);
	case 'c': /* another COPY */
		return backup_stream_copy(s, err);
	case 't': /* the same without the byte in front */
		tar_add(&b, "base/", '5', "", "");
		tar_add(&b, "base/x", '0', "abc", "");
		return backup_stream_message(s, b.data, b.len, err);
	case 'q': /* half of it */
		tar_add(&b, "base/x", '0', "abc", "");
		return backup_stream_message(s, b.data, 600, err);
	case 'z': /* what closes an archive */
		assert_int_equal(buf_append(&b, (char[1024]){0}, 1024, NULL), 0);
		return backup_stream_message(s, b.data, b.len, err);
	case 'j':
		return backup_stream_message(s, "{json}", 6, err);
	case 'm':
		return backup_stream_message(s, "m", 1, err);
	case 'd':
		return backup_stream_message(s, "d{json}", 7, err);
	case 'e':
		return backup_stream_message(s, "d", 1, err);
	case 'p':
		return backup_stream_message(s, "p\0\0\0\0\0\0\1\2", 9, err);
	default:
		fail_msg("no message '%c'", what);
	}
	return ERR_BUG;
}

static int
play_form(const char *script, enum backup_form form, struct log *l)
{
	BACKUP_STREAM_AUTO struct backup_stream *s = NULL;
	struct backup_start of_form = start;
	int rc;

	of_form.form = form;
	rc = backup_stream_new(&s, &of_form, &events, l, NULL);

	for (; rc == 0 && *script != '\0'; script++)
		rc = send(s, *script, NULL);
	return rc != 0 ? rc : backup_stream_finish(s, NULL);
}

static int
play(const char *script, struct log *l)
{
	return play_form(script, BACKUP_ONE_COPY, l);
}

static void
a_backup_is_told_in_order(void **state)
{
	struct log l = {0};

	(void)state;
	assert_int_equal(play("cTpfBfpmdd", &l), 0);
	assert_string_equal(buf_text(&l.text), "start=one archive=0 progress=258 dir=base link=/wal file=base/x abc end done "
					       "archive=1 dir=base link=/wal file=base/x abc "
					       "end progress=258 done {json} {json} ");
	buf_free(&l.text);
}

static void
messages_out_of_order_are_refused(void **state)
{
	static const struct {
		const char *script;
		int want;
	} rows[] = {
	    {"TBmd", 0},
	    {"TeBemd", 0},
	    {"", ERR_CORRUPT},
	    {"f", ERR_CORRUPT},
	    {"pf", ERR_CORRUPT},
	    {"d", ERR_CORRUPT},
	    {"m", ERR_CORRUPT},
	    {"B", ERR_CORRUPT},
	    {"U", ERR_CORRUPT},
	    {"L", ERR_CORRUPT},
	    {"Tf", ERR_CORRUPT},
	    {"Tfmd", ERR_CORRUPT},
	    {"TT", ERR_CORRUPT},
	    {"TBB", ERR_CORRUPT},
	    {"TBT", ERR_CORRUPT},
	    {"TBf", ERR_CORRUPT},
	    {"TBm", ERR_CORRUPT},
	    {"TBme", ERR_CORRUPT},
	    {"TBmdm", ERR_CORRUPT},
	    {"TBmdB", ERR_CORRUPT},
	    {"ThB", ERR_CORRUPT},
	    {"TBhm", ERR_CORRUPT},
	    {"TdB", ERR_CORRUPT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct log l = {0};

		if (play(rows[i].script, &l) != rows[i].want)
			fail_msg("'%s'", rows[i].script);
		buf_free(&l.text);
	}
}

static void
a_backup_of_14_is_told_in_the_same_order(void **state)
{
	struct log l = {0};

	(void)state;
	assert_int_equal(backup_stream_copies(&start), 1);
	assert_int_equal(backup_stream_copies(&(struct backup_start){.n_tablespaces = 2, .form = BACKUP_COPY_EACH}), 3);
	assert_int_equal(play_form("ctctzcjj", BACKUP_COPY_EACH, &l), 0);
	assert_string_equal(buf_text(&l.text),
	    "start=each archive=0 dir=base file=base/x abc end progress=? done archive=1 dir=base file=base/x abc end "
	    "progress=? progress=? done {json} {json} ");
	buf_free(&l.text);
}

static void
copies_of_14_that_are_too_few_or_too_many_are_refused(void **state)
{
	static const struct {
		const char *script;
		int want;
	} rows[] = {
	    {"ctctcj", 0},
	    {"cccj", 0}, /* empty archives: the manifest tells what is missing */
	    {"ctzctzcjjj", 0},
	    {"", ERR_CORRUPT},
	    {"t", ERR_CORRUPT},
	    {"ct", ERR_CORRUPT},
	    {"ctct", ERR_CORRUPT},
	    {"ctctc", ERR_CORRUPT},
	    {"ctctcjc", ERR_CORRUPT},
	    {"ctctcjct", ERR_CORRUPT},
	    {"ctctctcj", ERR_CORRUPT},
	    {"cqctcj", ERR_CORRUPT},
	    {"ctcqcj", ERR_CORRUPT},
	    {"cfctcj", ERR_CORRUPT}, /* the newer form's byte in front */
	    {"cTctcj", ERR_CORRUPT},
	    {"cjctcj", ERR_CORRUPT},
	    {"ctztctcj", ERR_CORRUPT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct log l = {0};

		if (play_form(rows[i].script, BACKUP_COPY_EACH, &l) != rows[i].want)
			fail_msg("'%s'", rows[i].script);
		buf_free(&l.text);
	}
}

static void
messages_of_another_form_are_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
	    {"", 0},
	    {"n", 1},
	    {"nbase.tar", 9},
	    {"nbase.tar\0", 10},
	    {"n16400.tar\0/srv/ts", 18},
	    {"n16400.tar\0/srv/ts\0x", 20},
	    {"n16400.tar\0/srv/ts\0\0", 20},
	    {"n\0\0", 3},
	    {"n016400.tar\0/srv/ts", 20},
	    {"n../x.tar\0/srv/ts", 18},
	    {"n16400.tar.gz\0/srv/ts", 22},
	    {"p", 1},
	    {"p\0\0\0\0\0\0\1", 8},
	    {"p\0\0\0\0\0\0\1\2\3", 10},
	    {"p\xff\xff\xff\xff\xff\xff\xff\xff", 9},
	    {"mm", 2},
	    {"x", 1},
	    {"\0", 1},
	    {"N", 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BACKUP_STREAM_AUTO struct backup_stream *s = NULL;
		struct log l = {0};

		assert_int_equal(backup_stream_new(&s, &start, &events, &l, NULL), 0);
		if (backup_stream_message(s, rows[i].bytes, rows[i].len, NULL) != ERR_CORRUPT)
			fail_msg("row %zu", i);
		assert_int_equal(backup_stream_message(s, "n16400.tar\0/srv/ts", 19, NULL), ERR_BUG);
		assert_int_equal(backup_stream_finish(s, NULL), ERR_BUG);
		assert_int_equal(l.calls, 0);
	}
}

static void
a_message_over_its_cap_is_refused(void **state)
{
	BACKUP_STREAM_AUTO struct backup_stream *s = NULL;
	BUF_AUTO struct buf b = {.max = BACKUP_MESSAGE_MAX + 1};
	struct log l = {0};

	(void)state;
	assert_int_equal(buf_reserve(&b, BACKUP_MESSAGE_MAX + 1, NULL), 0);
	memset(b.data, 0, BACKUP_MESSAGE_MAX + 1);
	b.data[0] = 'd';
	assert_int_equal(backup_stream_new(&s, &start, &events, &l, NULL), 0);
	assert_int_equal(send(s, 'T', NULL), 0);
	assert_int_equal(backup_stream_message(s, b.data, BACKUP_MESSAGE_MAX, NULL), 0);
	assert_int_equal(backup_stream_message(s, b.data, BACKUP_MESSAGE_MAX + 1, NULL), ERR_CORRUPT);
	buf_free(&l.text);
}

static void
a_list_of_tablespaces_ends_with_the_data_directory(void **state)
{
	static const struct backup_tablespace wrong[] = {{0, "", -1}, {16400, "/srv/ts", -1}},
					      two[] = {{0, "", -1}, {0, "", -1}};
	const struct backup_start rows[] = {
	    {.tablespaces = NULL, .n_tablespaces = 0},
	    {.tablespaces = wrong, .n_tablespaces = 2},
	    {.tablespaces = two, .n_tablespaces = 2},
	    {.tablespaces = tablespaces, .n_tablespaces = 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BACKUP_STREAM_AUTO struct backup_stream *s = NULL;

		assert_int_equal(backup_stream_new(&s, &rows[i], &events, NULL, NULL), ERR_CORRUPT);
		assert_null(s);
	}
}

static void
every_event_can_end_the_backup(void **state)
{
	static const struct {
		const char *script;
		enum backup_form form;
		int events;
	} rows[] = {{"cTpfBfpmdd", BACKUP_ONE_COPY, 19}, {"ctctcjj", BACKUP_COPY_EACH, 17}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int at = 1;

		for (;; at++) {
			struct log l = {.fail_at = at};
			int rc = play_form(rows[i].script, rows[i].form, &l);

			buf_free(&l.text);
			if (rc == 0)
				break;
			assert_int_equal(rc, ERR_NOSPACE);
			assert_int_equal(l.calls, at);
		}
		assert_int_equal(at, rows[i].events + 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_backup_is_told_in_order),
	    cmocka_unit_test(messages_out_of_order_are_refused),
	    cmocka_unit_test(a_backup_of_14_is_told_in_the_same_order),
	    cmocka_unit_test(copies_of_14_that_are_too_few_or_too_many_are_refused),
	    cmocka_unit_test(messages_of_another_form_are_refused),
	    cmocka_unit_test(a_message_over_its_cap_is_refused),
	    cmocka_unit_test(a_list_of_tablespaces_ends_with_the_data_directory),
	    cmocka_unit_test(every_event_can_end_the_backup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
