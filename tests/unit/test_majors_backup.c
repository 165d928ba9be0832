/*
 * Base backups of each supported major: what its server once answered is answered again, byte for byte, by a thread that stands
 * for the server, and libpq and basebackup_run must make of it what the server's own manifest lists.
 */
#include "majors_fixture.h"

#include <inttypes.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/str.h"
#include "pg/basebackup.h"
#include "pg/control.h"
#include "pg/crc32c.h"
#include "pg/server_manifest.h"

#define FILES_MAX 2048

/* What is answered: the first sent bytes of a recording, then what else is given, then nothing or the end of the connection. */
struct server {
	unsigned major;
	uint8_t *answer;
	size_t sent;
	const char *then; /* an error of the server, or NULL */
	int listener;
	char directory[64];
	char command[512]; /* what was asked */
	pthread_t thread;
};

static void
put(int fd, const void *bytes, size_t len)
{
	for (const uint8_t *p = bytes; len > 0;) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* the client has seen enough */
		p += n;
		len -= (size_t)n;
	}
}

static void
put_message(int fd, char kind, const void *payload, size_t len)
{
	uint8_t head[5] = {(uint8_t)kind, 0, 0, (uint8_t)((len + 4) >> 8), (uint8_t)(len + 4)};

	put(fd, head, sizeof(head));
	put(fd, payload, len);
}

static bool
get(int fd, void *out, size_t len)
{
	return recv(fd, out, len, MSG_WAITALL) == (ssize_t)len;
}

/* The rest of a message whose length comes first, cut to what fits. */
static bool
get_text(int fd, char *out, size_t size)
{
	uint8_t n[4];
	size_t len;

	if (!get(fd, n, sizeof(n)))
		return false;
	len = ((size_t)n[2] << 8 | n[3]) - 4;
	if (len >= size || !get(fd, out, len))
		return false;
	out[len] = '\0';
	return true;
}

static void *
serve(void *arg)
{
	struct server *s = arg;
	char startup[512], version[64], kind;
	int fd = accept(s->listener, NULL, NULL), n;

	if (fd >= 0 && get_text(fd, startup, sizeof(startup))) {
		put_message(fd, 'R', "\0\0\0\0", 4);
		n = snprintf(version, sizeof(version), "server_version%c%u.1", 0, s->major);
		put_message(fd, 'S', version, (size_t)n + 1);
		put_message(fd, 'Z', "I", 1);
		if (get(fd, &kind, 1) && kind == 'Q' && get_text(fd, s->command, sizeof(s->command))) {
			put(fd, s->answer, s->sent);
			if (s->then != NULL) {
				char fields[256];

				n = snprintf(
				    fields, sizeof(fields), "SERROR%cVERROR%cC%.5s%cM%s%c", 0, 0, s->then, 0, s->then + 6, 0);
				put_message(fd, 'E', fields, (size_t)n + 1);
				put_message(fd, 'Z', "I", 1);
			}
		}
		(void)shutdown(fd, SHUT_WR);
		while (recv(fd, startup, sizeof(startup), 0) > 0)
			continue;
	}
	if (fd >= 0)
		assert_int_equal(close(fd), 0);
	return NULL;
}

static void
server_start(struct server *s)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	(void)snprintf(s->directory, sizeof(s->directory), "/tmp/pgcairn-replay-XXXXXX");
	assert_non_null(mkdtemp(s->directory));
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/.s.PGSQL.5432", s->directory);
	s->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_true(s->listener >= 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(s->listener, 1), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void
server_stop(struct server *s)
{
	char path[128];

	assert_int_equal(pthread_join(s->thread, NULL), 0);
	assert_int_equal(close(s->listener), 0);
	(void)snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", s->directory);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(s->directory), 0);
}

struct file {
	char path[200];
	uint64_t size;
	uint32_t crc;
	bool listed;
};

/* What came out of a backup. */
struct seen {
	const struct backup_tablespace *tablespaces;
	char prefix[32]; /* of the current archive's paths in the manifest */
	uint32_t oid;
	char location[128];
	struct file files[FILES_MAX];
	size_t n, listed;
	uint8_t control[CONTROL_FILE_SIZE];
	size_t control_len;
	struct server_manifest *manifest;
	size_t archives;
	uint64_t progress;
	lsn_t start, range_end;
};

static struct seen seen;

static int
on_started(const struct backup_start *begun, void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)err;
	assert_int_equal(begun->n_tablespaces, 2);
	s->tablespaces = begun->tablespaces;
	s->start = begun->lsn;
	s->oid = begun->tablespaces[0].oid;
	(void)snprintf(s->location, sizeof(s->location), "%s", begun->tablespaces[0].location);
	return 0;
}

static int
on_archive(size_t i, void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)err;
	assert_int_equal(i, s->archives++);
	s->prefix[0] = '\0';
	if (s->tablespaces[i].oid != 0)
		(void)snprintf(s->prefix, sizeof(s->prefix), "pg_tblspc/%u/", s->tablespaces[i].oid);
	return 0;
}

static int
on_file(const struct tar_entry *e, void *arg, struct err *err)
{
	struct seen *s = arg;
	struct file *f = &s->files[s->n++];

	(void)err;
	assert_true(s->n < FILES_MAX);
	*f = (struct file){.crc = CRC32C_INIT};
	(void)snprintf(f->path, sizeof(f->path), "%s%s", s->prefix, e->name);
	return 0;
}

static int
on_data(const void *bytes, size_t len, void *arg, struct err *err)
{
	struct seen *s = arg;
	struct file *f = &s->files[s->n - 1];

	(void)err;
	f->size += len;
	f->crc = crc32c_update(f->crc, bytes, len);
	if (strcmp(f->path, "global/pg_control") == 0) {
		assert_true(s->control_len + len <= sizeof(s->control));
		memcpy(s->control + s->control_len, bytes, len);
		s->control_len += len;
	}
	return 0;
}

static int
on_manifest(const void *bytes, size_t len, void *arg, struct err *err)
{
	return server_manifest_feed(((struct seen *)arg)->manifest, bytes, len, err);
}

static int
on_progress(uint64_t done, void *arg, struct err *err)
{
	struct seen *s = arg;

	(void)err;
	assert_true(done >= s->progress);
	s->progress = done;
	return 0;
}

static int
on_listed(const struct server_manifest_file *listed, void *arg, struct err *err)
{
	struct seen *s = arg;

	for (size_t i = 0; i < s->n; i++) {
		struct file *f = &s->files[i];

		if (strcmp(f->path, listed->path) != 0)
			continue;
		if (f->listed || f->size != listed->size || crc32c_final(f->crc) != listed->crc32c)
			return err_set(err, ERR_CORRUPT, 0, "'%s' is not what the manifest lists", f->path);
		f->listed = true;
		s->listed++;
		return 0;
	}
	return err_set(err, ERR_CORRUPT, 0, "'%s' did not come", listed->path);
}

static int
on_range(const struct server_manifest_range *range, void *arg, struct err *err)
{
	struct seen *s = arg;

	if (range->timeline != 1 || range->start != s->start)
		return err_set(err, ERR_CORRUPT, 0, "the manifest needs WAL from elsewhere");
	s->range_end = range->end;
	return 0;
}

/* Take a backup from the server; 0 only when every file that came is what the manifest lists, and nothing is missing. */
static int
backup(struct server *s, struct basebackup_stop *stop, struct err *err)
{
	static const struct backup_events events = {.started = on_started,
	    .archive_begin = on_archive,
	    .file_begin = on_file,
	    .file_data = on_data,
	    .manifest_data = on_manifest,
	    .progress = on_progress};
	static const struct server_manifest_events listed = {.file = on_listed, .range = on_range};
	static const struct basebackup_options options = {.label = NULL};
	struct server_manifest_end end;
	struct pg_connection *c = NULL;
	char conninfo[128];
	int rc;

	server_start(s);
	memset(&seen, 0, sizeof(seen));
	(void)snprintf(conninfo, sizeof(conninfo), "host=%s port=5432 user=x", s->directory);
	assert_int_equal(server_manifest_new(&seen.manifest, &listed, &seen, NULL), 0);
	rc = pg_conn_open(&c, &(struct pg_conn_options){.conninfo = conninfo, .replication = true}, err);
	assert_int_equal(rc, 0);
	assert_int_equal(pg_conn_major(c), s->major);
	rc = basebackup_run(c, &options, &events, &seen, NULL, stop, err);
	pg_conn_close(c);
	server_stop(s);
	if (rc == 0)
		rc = server_manifest_finish(seen.manifest, &end, err);
	server_manifest_free(seen.manifest);
	if (rc == 0 && seen.listed != seen.n)
		rc = err_set(err, ERR_CORRUPT, 0, "%zu files came, %zu are listed", seen.n, seen.listed);
	return rc;
}

static void
server_load(struct server *s, unsigned major)
{
	*s = (struct server){.major = major};
	s->answer = majors_fixture(major, "base-backup", &s->sent);
}

static size_t
message_len(const uint8_t *p)
{
	return 1 + ((size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4]);
}

/* The offset behind the nth message of a kind, counted from 1; 0 when there are fewer. */
static size_t
behind(const struct server *s, char kind, size_t n)
{
	for (size_t at = 0; at < s->sent;) {
		char have = (char)s->answer[at];

		at += message_len(s->answer + at);
		if (have == kind && --n == 0)
			return at;
	}
	return 0;
}

static void
every_file_is_what_the_servers_manifest_lists(void **state)
{
	(void)state;
	for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_KNOWN; major++) {
		char command[512], version[32], location[128];
		struct basebackup_stop stop;
		struct err err = {0};
		struct control control;
		struct server s;
		uint64_t sysid;
		size_t len;
		unsigned oid;
		char *text = majors_text(major, "base-backup.txt", &len);

		server_load(&s, major);
		if (backup(&s, &stop, &err) < 0)
			fail_msg("%u: %s", major, err.msg);
		assert_int_equal(
		    sscanf(text, "%511[^\n]\n%31s\n%u %127s\n%" SCNu64, command, version, &oid, location, &sysid), 5);
		assert_int_equal(strtoul(version, NULL, 10), major);
		assert_string_equal(s.command, command); /* the server has taken just this */
		assert_int_equal(seen.oid, oid);
		assert_string_equal(seen.location, location);
		assert_int_equal(seen.archives, 2);
		assert_true(seen.n > 200 && seen.progress > 4 << 20);
		assert_true(stop.lsn > seen.start && stop.lsn == seen.range_end && stop.timeline == 1);
		assert_true(str_starts(seen.files[0].path, "pg_tblspc/"));
		assert_string_equal(seen.files[seen.n - 1].path, "global/pg_control");
		assert_int_equal(control_parse(&control, seen.control, seen.control_len, &err), 0);
		assert_int_equal(control.sysid, sysid);
		free(text);
		free(s.answer);
	}
}

static void
a_stream_that_breaks_off_anywhere_is_no_backup(void **state)
{
	(void)state;
	for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_KNOWN; major++) {
		struct basebackup_stop stop = {0};
		struct server s;
		size_t whole;

		server_load(&s, major);
		whole = s.sent;
		for (size_t i = 0; i < 12; i++) {
			/* every twelfth, then by and by the last messages: their ends, and within them */
			size_t cut = i < 8 ? whole * i / 8 : whole - (i == 8 ? 1 : i == 9 ? 6 : i == 10 ? 7 : 40);
			struct err err = {0};

			s.sent = cut;
			if (backup(&s, &stop, &err) == 0)
				fail_msg("%u: the first %zu bytes of %zu are a backup", major, cut, whole);
			assert_int_equal(stop.lsn, 0);
		}
		free(s.answer);
	}
}

static void
an_error_of_the_server_is_told_wherever_it_comes(void **state)
{
	(void)state;
	for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_KNOWN; major++) {
		size_t copies = major == 14 ? 3 : 1;
		struct server s;
		size_t places[5] = {0};

		server_load(&s, major);
		places[1] = behind(&s, 'H', 1);
		places[2] = behind(&s, 'd', 20);
		places[3] = behind(&s, 'c', copies == 1 ? 1 : 2); /* 14: between two of its COPYs */
		places[4] = behind(&s, 'c', copies);
		assert_int_equal(behind(&s, 'c', copies + 1), 0);
		for (size_t i = 0; i < ARRAY_LEN(places); i++) {
			struct basebackup_stop stop = {0};
			struct err err = {0};

			assert_true(i == 0 || places[i] > 0);
			s.sent = places[i];
			s.then = "XX001 checksum verification failure during base backup";
			assert_int_equal(backup(&s, &stop, &err), ERR_CORRUPT);
			if (strstr(err.msg, "checksum verification failure") == NULL)
				fail_msg("%u: at %zu: %s", major, places[i], err.msg);
		}
		free(s.answer);
	}
}

static void
a_flipped_bit_in_an_archive_or_in_the_manifest_is_noticed(void **state)
{
	size_t tried = 0;

	(void)state;
	for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_KNOWN; major++) {
		size_t messages = 0, skip = 37;
		struct server s;

		server_load(&s, major);
		for (size_t at = 0; at < s.sent; at += message_len(s.answer + at)) {
			size_t len = message_len(s.answer + at) - 5, payload = at + 5;
			bool data = s.answer[at] == 'd' && (major == 14 || s.answer[payload] == 'd') && len > 1;
			size_t where = payload + 1 + (len - 2) * (messages % 3) / 2;
			struct basebackup_stop stop = {0};
			struct err err = {0};

			if (!data || messages++ % skip != 0)
				continue;
			s.answer[where] ^= (uint8_t)(1U << messages % 8);
			if (backup(&s, &stop, &err) == 0)
				fail_msg("%u: byte %zu of a message of %zu at %zu", major, where - payload, len, at);
			s.answer[where] ^= (uint8_t)(1U << messages % 8);
			tried++;
		}
		free(s.answer);
	}
	assert_true(tried > 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_file_is_what_the_servers_manifest_lists),
	    cmocka_unit_test(a_stream_that_breaks_off_anywhere_is_no_backup),
	    cmocka_unit_test(an_error_of_the_server_is_told_wherever_it_comes),
	    cmocka_unit_test(a_flipped_bit_in_an_archive_or_in_the_manifest_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
