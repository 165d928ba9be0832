/*
 * Runs a fuzz target over files, and over the files of directories, without a fuzzer: so a corpus is replayed by every run of
 * the tests, with any compiler. What makes the target abort, or a sanitizer, fails the run; the file's name stands last on
 * standard error then.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"

#define INPUT_MAX ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
run_file(const char *path, struct err *err)
{
	BUF_AUTO struct buf b = {.max = INPUT_MAX};
	FREE_AUTO uint8_t *exact = NULL;
	int rc = fs_read_file(path, INPUT_MAX, &b, err);

	if (rc < 0)
		return rc;
	/* of exactly this length, so that a read past the end is seen */
	exact = malloc(b.len > 0 ? b.len : 1);
	if (exact == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for '%s'", path);
	if (b.len > 0)
		memcpy(exact, b.data, b.len);
	(void)fprintf(stderr, "%s\n", path);
	(void)LLVMFuzzerTestOneInput(exact, b.len);
	return 0;
}

struct folder {
	const char *path;
	unsigned n;
};

static int
run_name(const char *name, void *arg, struct err *err)
{
	struct folder *f = arg;
	FREE_AUTO char *path = str_printf("%s/%s", f->path, name);

	f->n++;
	return path != NULL ? run_file(path, err) : err_set(err, ERR_NOMEM, 0, "out of memory for a path");
}

static int
run(const char *path, struct err *err)
{
	struct folder f = {path, 0};
	struct stat st;
	int rc;

	if (stat(path, &st) < 0)
		return err_set(err, ERR_IO, errno, "stat '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return run_file(path, err);
	rc = fs_list_dir(path, run_name, &f, err);
	if (rc == 0 && f.n == 0)
		rc = err_set(err, ERR_NOT_FOUND, 0, "'%s' holds no file", path);
	return rc;
}

int
main(int argc, char **argv)
{
	struct err err = {0};

	if (argc < 2) {
		(void)fprintf(stderr, "usage: %s FILE|DIRECTORY...\n", argv[0]);
		return 2;
	}
	(void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++) {
		if (run(argv[i], &err) < 0) {
			(void)fprintf(stderr, "%s\n", err.msg);
			return 1;
		}
	}
	return 0;
}
