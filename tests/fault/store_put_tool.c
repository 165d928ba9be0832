/*
 * One put, for tests that watch or kill it from outside, and the same put many times for a measurement.
 *
 *   store_put_tool MODE put DIR KEY FILE      exit 0: durable, 3: exists, 1: failed; the kind and message on standard error
 *   store_put_tool MODE settle DIR KEY
 *   store_put_tool MODE sweep DIR             every temporary without a living writer
 *   store_put_tool MODE bench DIR COUNT SIZE  milliseconds of each put, one a line
 *
 * MODE: auto, unnamed, link, rename.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <time.h>

#include "base/fs.h"
#include "base/str.h"
#include "store/file_internal.h"

#define CHUNK ((size_t)1 << 20)

static int
put_file(struct store *s, const char *key, const char *file, struct err *err)
{
	SINK_AUTO struct sink *sink = NULL;
	FD_AUTO int fd = open(file, O_RDONLY | O_CLOEXEC);
	FREE_AUTO char *data = malloc(CHUNK);
	size_t got = CHUNK;
	int rc;

	if (fd < 0 || data == NULL)
		return err_set(err, ERR_CONFIG, 0, "cannot read '%s'", file);
	rc = store_put(s, key, &sink, err);
	while (rc == 0 && got == CHUNK) {
		rc = fs_read_upto(fd, data, CHUNK, &got, file, err);
		if (rc == 0)
			rc = sink_write(sink, data, got, err);
	}
	return rc < 0 ? rc : sink_finish(sink, err);
}

static double
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int
bench(struct store *s, uint64_t count, uint64_t size, struct err *err)
{
	FREE_AUTO char *data = malloc(CHUNK);
	int rc = 0;

	if (data == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory");
	for (size_t i = 0; i < CHUNK; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	for (uint64_t i = 0; i < count && rc == 0; i++) {
		FREE_AUTO char *key = str_printf("bench/wal/%" PRIu64, i);
		SINK_AUTO struct sink *sink = NULL;
		double start = now_ms();

		rc = store_put(s, key, &sink, err);
		for (uint64_t at = 0; at < size && rc == 0; at += CHUNK)
			rc = sink_write(sink, data, size - at < CHUNK ? (size_t)(size - at) : CHUNK, err);
		if (rc == 0)
			rc = sink_finish(sink, err);
		(void)printf("%.2f\n", now_ms() - start);
	}
	return rc;
}

static int
mode_parse(const char *word, enum file_mode *out)
{
	static const char *const words[] = {"auto", "unnamed", "link", "rename"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(word, words[i]) == 0) {
			*out = (enum file_mode)i;
			return 0;
		}
	}
	return -1;
}

int
main(int argc, char **argv)
{
	STORE_AUTO struct store *s = NULL;
	struct file_options options = {0};
	struct err err = {0};
	uint64_t count, size;
	unsigned removed;
	int rc;

	if (argc < 4 || mode_parse(argv[1], &options.mode) < 0)
		return 2;
	rc = file_open_with(&s, argv[3], true, &options, &err);
	if (rc == 0 && argc == 6 && strcmp(argv[2], "put") == 0)
		rc = put_file(s, argv[4], argv[5], &err);
	else if (rc == 0 && argc == 5 && strcmp(argv[2], "settle") == 0)
		rc = store_settle(s, argv[4], &err);
	else if (rc == 0 && argc == 4 && strcmp(argv[2], "sweep") == 0)
		rc = store_file_sweep(s, -1000, &removed, &err);
	else if (rc == 0 && argc == 6 && strcmp(argv[2], "bench") == 0 && str_to_u64(argv[4], 1, 100000, &count) &&
		 str_to_u64(argv[5], 1, UINT64_C(1) << 40, &size))
		rc = bench(s, count, size, &err);
	else if (rc == 0)
		return 2;
	if (rc < 0)
		(void)fprintf(stderr, "%s: %s\n", err_kind_name(rc), err.msg);
	return rc == 0 ? 0 : rc == ERR_EXISTS ? 3 : 1;
}
