#include "repo/gap.h"

#include <inttypes.h>

#include "base/str.h"
#include "repo/member.h"
#include "repo/stored.h"

int
gap_record_encode(const struct gap_record *g, json_t *o, struct err *err)
{
	char file[WAL_NAME_MAX];

	wal_name_format(file, &g->name);
	if (member_set_sysid(o, g->sysid) < 0 || json_object_set_new(o, "file", json_string(file)) < 0 ||
	    json_object_set_new(o, "timeline", json_integer(g->name.timeline)) < 0 ||
	    member_set_lsn(o, "start", g->start) < 0 || member_set_lsn(o, "end", g->end) < 0 ||
	    json_set_hex(o, "content_id", g->content_id, CONTENT_ID) < 0 ||
	    json_object_set_new(o, "size", json_integer((json_int_t)g->size)) < 0 ||
	    json_object_set_new(o, "refused", json_text(g->refused)) < 0)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the record of a gap");
	return decision_encode(&g->decision, o, err);
}

int
gap_record_decode(struct gap_record *g, const json_t *o, struct err *err)
{
	const char *file, *refused;
	int rc;

	memset(g, 0, sizeof(*g));
	rc = member_get_sysid(o, &g->sysid, err);
	if (rc == 0)
		rc = json_get_str(o, "file", &file, err);
	if (rc == 0)
		rc = json_get_str(o, "refused", &refused, err);
	if (rc == 0 && (!wal_name_parse(file, &g->name) || strlen(refused) >= sizeof(g->refused)))
		rc = err_set(err, ERR_CORRUPT, 0, "the record of a gap is malformed");
	if (rc == 0)
		memcpy(g->refused, refused, strlen(refused) + 1);
	if (rc == 0)
		rc = member_get_lsn(o, "start", &g->start, err);
	if (rc == 0)
		rc = member_get_lsn(o, "end", &g->end, err);
	if (rc == 0)
		rc = json_get_hex(o, "content_id", g->content_id, CONTENT_ID, err);
	if (rc == 0)
		rc = json_get_u64(o, "size", 0, INT64_MAX, &g->size, err);
	return rc < 0 ? rc : decision_decode(&g->decision, o, err);
}

/* The piece in front of the next '/', which *at is moved behind; false when it does not fit or there is none. */
static bool
next_piece(const char **at, char *out, size_t size)
{
	const char *slash = strchr(*at, '/');

	if (slash == NULL || (size_t)(slash - *at) >= size)
		return false;
	memcpy(out, *at, (size_t)(slash - *at));
	out[slash - *at] = '\0';
	*at = slash + 1;
	return true;
}

bool
gap_name_parse(const char *relative, struct gap_record *g)
{
	char sysid[24], file[WAL_NAME_MAX], hex[2 * CONTENT_ID + 1], canonical[OBJECT_NAME_MAX];
	const char *at = relative + strlen("gaps/");

	memset(g, 0, sizeof(*g));
	return str_starts(relative, "gaps/") && next_piece(&at, sysid, sizeof(sysid)) && next_piece(&at, file, sizeof(file)) &&
	       next_piece(&at, hex, sizeof(hex)) && str_to_u64(sysid, 1, UINT64_MAX, &g->sysid) &&
	       wal_name_parse(file, &g->name) && strlen(hex) == 2 * CONTENT_ID &&
	       str_from_hex(hex, g->content_id, CONTENT_ID) &&
	       layout_gap(canonical, g->sysid, &g->name, g->content_id, LAYOUT_GAP_RECORD, NULL) == 0 &&
	       strcmp(canonical, relative) == 0;
}

static bool
same_gap(const struct gap_record *a, const struct gap_record *b)
{
	char x[WAL_NAME_MAX], y[WAL_NAME_MAX];

	wal_name_format(x, &a->name);
	wal_name_format(y, &b->name);
	return a->sysid == b->sysid && strcmp(x, y) == 0 && memcmp(a->content_id, b->content_id, CONTENT_ID) == 0;
}

/* A store that fails says nothing about a gap. */
static bool
is_store_error(int kind)
{
	return kind == ERR_IO || kind == ERR_RETRY || kind == ERR_NOMEM || kind == ERR_NOSPACE || kind == ERR_BUG;
}

static int
read_record(struct gap_record *g, struct repository *r, const char *relative, struct err *err)
{
	STORED_AUTO struct stored *s = NULL;
	struct gap_record said;
	struct err why = {0};
	int rc = stored_open(&s, r, relative, OBJECT_RECORD, &why);

	if (rc == 0)
		rc = gap_record_decode(&said, s->clear, &why);
	if (rc == 0 && !same_gap(g, &said))
		rc = err_set(&why, ERR_CORRUPT, 0, "it is of another gap");
	if (is_store_error(rc)) {
		if (err != NULL)
			*err = why;
		return rc;
	}
	if (rc == 0)
		*g = said;
	g->damaged = rc < 0;
	if (rc < 0)
		(void)snprintf(g->decision.reason, sizeof(g->decision.reason), "not known: %.480s", why.msg);
	return 0;
}

struct lister {
	struct gap_set *set;
	struct repository *repo;
	size_t skip; /* bytes of a key in front of the relative name */
};

static int
take_key(const struct store_entry *e, void *arg, struct err *err)
{
	struct lister *l = arg;
	struct gap_record g, *more, *known = NULL;
	int rc;

	if (!gap_name_parse(e->key + l->skip, &g))
		return 0;
	for (size_t i = 0; i < l->set->n; i++)
		if (same_gap(&l->set->list[i], &g))
			known = &l->set->list[i];
	if (known != NULL && !known->damaged)
		return 0;
	if (l->set->n == GAPS_MAX)
		return err_set(err, ERR_CORRUPT, 0, "more than %d gaps", GAPS_MAX);
	rc = read_record(&g, l->repo, e->key + l->skip, err);
	if (rc == 0 && known != NULL)
		*known = g;
	if (rc < 0 || known != NULL)
		return rc;
	more = realloc(l->set->list, (l->set->n + 1) * sizeof(*more));
	if (more == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for gaps");
	l->set->list = more;
	more[l->set->n++] = g;
	return 0;
}

int
gap_set_read(struct gap_set *set, struct repository *r, uint64_t sysid, const struct wal_name *name, struct err *err)
{
	struct lister l = {.set = set, .repo = r};
	char relative[OBJECT_NAME_MAX], key[STORE_KEY_MAX];
	int rc;

	if (name != NULL)
		rc = layout_gap_folder(relative, sysid, name, err);
	else
		rc = (size_t)snprintf(relative, sizeof(relative), "gaps/%" PRIu64 "/", sysid) < sizeof(relative)
			 ? 0
			 : err_set(err, ERR_BUG, 0, "a name of gaps is too long");
	if (rc == 0)
		rc = layout_key(key, r->cluster_name, relative, err);
	if (rc < 0)
		return rc;
	l.skip = strlen(key) - strlen(relative);
	rc = store_list(r->store, key, take_key, &l, err);
	return rc < 0 ? err_wrap(err, "gaps of repository '%s'", r->name) : 0;
}

void
gap_set_free(struct gap_set *set)
{
	free(set->list);
	*set = (struct gap_set){0};
}
