#include "ops/restore_tablespaces.h"

#include <inttypes.h>

#include "base/fs.h"
#include "ops/place.h"

struct mapping {
	const struct op *op;
	const struct restore_options *o;
	struct tablespace_map *map;
};

/* Where this tablespace goes: as told, else where it was. */
static const char *
location_of(const struct restore_options *o, const struct restore_entry *e)
{
	for (size_t i = 0; i < o->n_tablespaces; i++)
		if (o->tablespaces[i].oid == e->tablespace)
			return o->tablespaces[i].location;
	return e->path;
}

/* The place of a tablespace must be free. */
static int
require_free(const struct tablespace_entry *t, struct err *err)
{
	int rc = fs_require_empty(t->path, err);

	if (rc == ERR_REFUSED) {
		err->hint[0] = '\0';
		err_hint(
		    err, "say where tablespace %" PRIu32 " shall go instead: --tablespace %" PRIu32 "=DIR", t->oid, t->oid);
	}
	return rc;
}

static void
free_all(char **list, size_t n)
{
	for (size_t i = 0; list != NULL && i < n; i++)
		free(list[i]);
	free(list);
}

/* Tablespace i against PGDATA and those before it; real: where the paths lead. */
static int
check_place(const struct mapping *r, char **real, size_t i, const char *pgdata, struct err *err)
{
	const struct tablespace_entry *t = &r->map->entries[i];
	int rc = place_check_target(r->op, t->path, err);

	if (rc < 0)
		return err_wrap(err, "tablespace %" PRIu32, t->oid);
	if (fs_is_inside(real[i], pgdata) || fs_is_inside(pgdata, real[i]))
		return err_set(err, ERR_REFUSED, 0, "tablespace %" PRIu32 " in '%s' and PGDATA would lie inside one another",
		    t->oid, t->path);
	for (size_t k = 0; k < i; k++)
		if (fs_is_inside(real[i], real[k]) || fs_is_inside(real[k], real[i]))
			return err_set(err, ERR_REFUSED, 0,
			    "tablespaces %" PRIu32 " and %" PRIu32
			    " would go to one place, or inside one another: '%s' and '%s'",
			    r->map->entries[k].oid, t->oid, r->map->entries[k].path, t->path);
	return 0;
}

/* Two tablespaces in one place, or one in PGDATA, would mix files. Two paths can lead to one place. */
static int
check_map(const struct mapping *r, struct err *err)
{
	const struct tablespace_map *m = r->map;
	char **real = calloc(m->n + 1, sizeof(*real));
	FREE_AUTO char *pgdata = NULL;
	int rc = real != NULL ? fs_real_path(r->o->pgdata, &pgdata, err)
			      : err_set(err, ERR_NOMEM, 0, "out of memory for tablespaces");

	for (size_t i = 0; rc == 0 && i < m->n; i++) {
		if (m->entries[i].path[0] != '/')
			rc = err_set(err, ERR_CONFIG, 0, "the place of tablespace %" PRIu32 " is not an absolute path",
			    m->entries[i].oid);
		if (rc == 0)
			rc = fs_real_path(m->entries[i].path, &real[i], err);
		if (rc == 0)
			rc = check_place(r, real, i, pgdata, err);
	}
	free_all(real, m->n);
	return rc;
}

int
restore_map_tablespaces(const struct op *op, const struct restore_options *o, const struct restore_entries *entries,
    struct tablespace_map *map, struct err *err)
{
	const struct mapping m = {op, o, map};
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < entries->n; i++)
		n += entries->list[i].kind == MANIFEST_TABLESPACE;
	map->entries = calloc(n + 1, sizeof(*map->entries));
	if (map->entries == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for tablespaces");
	for (size_t i = 0; i < entries->n; i++) {
		const struct restore_entry *e = &entries->list[i];
		struct tablespace_entry *t = &map->entries[map->n];

		if (e->kind != MANIFEST_TABLESPACE)
			continue;
		t->oid = e->tablespace;
		t->path = strdup(location_of(o, e));
		if (t->path == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for tablespaces");
		map->n++;
		rc = require_free(t, err);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < o->n_tablespaces; i++) {
		bool known = false;

		for (size_t k = 0; k < map->n; k++)
			known |= map->entries[k].oid == o->tablespaces[i].oid;
		if (!known)
			return err_set(err, ERR_CONFIG, 0, "the backup has no tablespace %" PRIu32, o->tablespaces[i].oid);
	}
	return check_map(&m, err);
}
