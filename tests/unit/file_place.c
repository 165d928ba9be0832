#include "file_place.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <cmocka.h>

#include "base/fs.h"
#include "base/str.h"

int
place_again(struct store_factory *f, struct store **out, struct err *err)
{
	struct place *p = (struct place *)f;

	return file_open_with(out, p->root, false, &p->options, err);
}

static int
place_fresh(struct store_factory *f, struct store **out, struct err *err)
{
	struct place *p = (struct place *)f;

	memcpy(p->dir, "/tmp/pgcairn-store-XXXXXX", 26);
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(chmod(p->dir, 0755), 0);
	(void)snprintf(p->root, sizeof(p->root), "%s/above/repository", p->dir);
	return file_open_with(out, p->root, true, &p->options, err);
}

static void
place_destroy(struct store_factory *f)
{
	struct place *p = (struct place *)f;

	(void)fs_remove_tree(p->dir, NULL);
}

unsigned
place_leftovers(struct store_factory *f)
{
	FREE_AUTO char *path = str_printf("%s/tmp", ((struct place *)f)->root);
	DIR_AUTO DIR *d = opendir(path);
	unsigned n = 0;

	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	return n;
}

struct place
place_of(const char *name, enum file_mode mode, bool no_openat2)
{
	struct place p = {
	    .factory = {.name = name,
		.fresh = place_fresh,
		.again = place_again,
		.destroy = place_destroy,
		.leftovers = place_leftovers},
	    .options = {.mode = mode, .no_openat2 = no_openat2},
	};

	return p;
}

int
bench_setup(void **state)
{
	const struct place *p = *state;
	struct bench *b = calloc(1, sizeof(*b));

	b->place = *p;
	*state = b;
	return place_fresh(&b->place.factory, &b->s, NULL);
}

int
bench_teardown(void **state)
{
	struct bench *b = *state;

	store_close(b->s);
	if (b->mounted)
		(void)umount2(b->place.root, MNT_DETACH);
	place_destroy(&b->place.factory);
	free(b);
	return 0;
}

char *
bench_path(const struct bench *b, const char *name)
{
	return str_printf("%s/%s", b->place.root, name);
}

void
bench_must(int rc, const struct err *err)
{
	if (rc != 0)
		fail_msg("unexpected %s: %s", err_kind_name(rc), err->msg);
}

void
bench_put(struct store *s, const char *key)
{
	struct err err = {0};

	bench_must(store_put_bytes(s, key, "content", 7, &err), &err);
}

int
bench_ignore(const struct store_entry *e, void *arg, struct err *err)
{
	(void)e;
	(void)arg;
	(void)err;
	return 0;
}

int
bench_call(struct store *s, enum file_call c, const char *key, struct err *err)
{
	struct store_stat st;
	char data[8];
	size_t got;

	switch (c) {
	case GET:
		return store_get(s, key, 0, data, sizeof(data), &got, err);
	case TAIL:
		return store_get_tail(s, key, data, sizeof(data), &got, &(uint64_t){0}, err);
	case STAT:
		return store_stat(s, key, &st, err);
	case SETTLE:
		return store_settle(s, key, err);
	case REMOVE:
		return store_remove(s, key, err);
	default:
		return store_put_bytes(s, key, "x", 1, err);
	}
}
