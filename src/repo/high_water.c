#include "repo/high_water.h"

#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "repo/member.h"
#include "repo/stored.h"

#define ENOUGH 1 /* ends a listing */

void
high_water_make(struct high_water *h, uint64_t sysid, timeline_t timeline, lsn_t lsn, const struct fanout *f, const bool *holds)
{
	*h = (struct high_water){.sysid = sysid, .timeline = timeline, .lsn = lsn, .time_us = clock_now_us()};
	if (gethostname(h->host, sizeof(h->host) - 1) < 0 || h->host[0] == '\0')
		(void)snprintf(h->host, sizeof(h->host), "host");
	for (size_t i = 0; i < f->n && h->n < HIGH_WATER_HOLDERS; i++) {
		struct high_water_holder *to = &h->holders[h->n];

		if (!holds[i] || f->targets[i].repo == NULL)
			continue;
		memcpy(to->id, f->targets[i].repo->id, sizeof(to->id));
		memcpy(to->name, f->targets[i].repo->name, sizeof(to->name));
		h->n++;
	}
}

int
high_water_encode(const struct high_water *h, json_t *o, struct err *err)
{
	json_t *list = json_array();
	char when[32];
	bool failed;

	clock_format_utc(when, sizeof(when), h->time_us);
	failed = member_set_sysid(o, h->sysid) < 0 || json_object_set_new(o, "timeline", json_integer(h->timeline)) < 0 ||
		 member_set_lsn(o, "lsn", h->lsn) < 0 || json_object_set_new(o, "time", json_string(when)) < 0 ||
		 json_object_set_new(o, "host", json_text(h->host)) < 0 || json_object_set_new(o, "repositories", list) < 0;
	for (size_t i = 0; !failed && i < h->n; i++) {
		json_t *one = json_object();

		failed = json_array_append_new(list, one) < 0 ||
			 json_object_set_new(one, "id", json_string(h->holders[i].id)) < 0 ||
			 json_object_set_new(one, "name", json_string(h->holders[i].name)) < 0;
	}
	return failed ? err_set(err, ERR_NOMEM, 0, "out of memory for a high-water record") : 0;
}

static int
take_text(char *out, size_t size, const json_t *o, const char *member, struct err *err)
{
	const char *text;
	int rc = json_get_str(o, member, &text, err);

	if (rc == 0 && strlen(text) >= size)
		rc = err_set(err, ERR_CORRUPT, 0, "member '%s' is too long", member);
	if (rc == 0) {
		memcpy(out, text, strlen(text) + 1);
		str_disarm(out, strlen(out));
	}
	return rc;
}

static int
take_holders(struct high_water *h, const json_t *o, struct err *err)
{
	json_t *list, *one;
	size_t i;
	int rc = json_get_array(o, "repositories", &list, err);

	if (rc < 0)
		return rc;
	if (json_array_size(list) > HIGH_WATER_HOLDERS)
		return err_set(err, ERR_CORRUPT, 0, "more than %d repositories in a high-water record", HIGH_WATER_HOLDERS);
	json_array_foreach(list, i, one)
	{
		uint8_t id[(REPOSITORY_ID_TEXT - 1) / 2];

		rc = json_get_hex(one, "id", id, sizeof(id), err);
		if (rc == 0)
			rc = take_text(h->holders[i].name, sizeof(h->holders[i].name), one, "name", err);
		if (rc < 0)
			return rc;
		str_to_hex(h->holders[i].id, id, sizeof(id));
		h->n++;
	}
	return 0;
}

int
high_water_decode(struct high_water *h, const json_t *o, struct err *err)
{
	char when[32];
	uint64_t timeline;
	int rc;

	*h = (struct high_water){0};
	rc = member_get_sysid(o, &h->sysid, err);
	if (rc == 0)
		rc = json_get_u64(o, "timeline", 1, UINT32_MAX, &timeline, err);
	if (rc == 0)
		rc = member_get_lsn(o, "lsn", &h->lsn, err);
	if (rc == 0)
		rc = take_text(when, sizeof(when), o, "time", err);
	if (rc == 0 && clock_parse_utc(when, &h->time_us, NULL) < 0)
		rc = err_set(err, ERR_CORRUPT, 0, "member 'time' is no time");
	if (rc == 0)
		rc = take_text(h->host, sizeof(h->host), o, "host", err);
	if (rc < 0)
		return rc;
	h->timeline = (timeline_t)timeline;
	return take_holders(h, o, err);
}

bool
high_water_name_parse(const char *relative, struct high_water *h)
{
	static const char folder[] = LAYOUT_HIGH_WATER "/";
	char sysid[24], canonical[OBJECT_NAME_MAX];
	const char *at = relative + strlen(folder), *slash;
	uint64_t timeline, high, low;

	*h = (struct high_water){0};
	if (!str_starts(relative, folder) || (slash = strchr(at, '/')) == NULL || (size_t)(slash - at) >= sizeof(sysid) ||
	    strlen(slash) != strlen("/TTTTTTTT/XXXXXXXX/YYYYYYYY"))
		return false;
	memcpy(sysid, at, (size_t)(slash - at));
	sysid[slash - at] = '\0';
	if (!str_to_u64(sysid, 1, UINT64_MAX, &h->sysid) || !str_hex_to_u64(slash + 1, 8, &timeline) ||
	    !str_hex_to_u64(slash + 10, 8, &high) || !str_hex_to_u64(slash + 19, 8, &low) || timeline == UINT32_MAX)
		return false;
	h->timeline = UINT32_MAX - (uint32_t)timeline;
	h->lsn = UINT64_MAX - (high << 32 | low);
	return layout_high_water(canonical, h->sysid, h->timeline, h->lsn, NULL) == 0 && strcmp(canonical, relative) == 0;
}

int
high_water_open(struct high_water *out, struct repository *r, const char *relative, struct err *err)
{
	STORED_AUTO struct stored *s = NULL;
	struct high_water named;
	int rc = stored_open(&s, r, relative, OBJECT_HIGH_WATER, err);

	if (rc == 0)
		rc = high_water_decode(out, s->clear, err);
	if (rc == 0 && (!high_water_name_parse(relative, &named) || named.sysid != out->sysid ||
			   named.timeline != out->timeline || named.lsn != out->lsn))
		rc = err_set(err, ERR_CORRUPT, 0, "'%s' speaks of another position", relative);
	return rc;
}

int
high_water_write(const struct writer *w, struct fanout *f, const struct high_water *h, struct err *err)
{
	JSON_AUTO json_t *o = json_object();
	char name[OBJECT_NAME_MAX];
	int rc = layout_high_water(name, h->sysid, h->timeline, h->lsn, err);

	if (rc == 0)
		rc = high_water_encode(h, o, err);
	return rc < 0 ? rc : fanout_put_record(f, name, OBJECT_HIGH_WATER, o, &w->signing, err);
}

bool
high_water_reached(const struct high_water *h, timeline_t timeline, lsn_t end)
{
	return timeline > h->timeline || (timeline == h->timeline && end >= h->lsn);
}

bool
high_water_is_held_by(const struct high_water *h, const char *repository_id)
{
	for (size_t i = 0; i < h->n; i++)
		if (strcmp(h->holders[i].id, repository_id) == 0)
			return true;
	return false;
}

struct lister {
	struct repository *repo;
	size_t skip; /* bytes of a key in front of the relative name */
	high_water_each *each;
	void *arg;
	struct high_water_reading *reading;
};

/* What cannot be believed says nothing; a store that fails is another matter. */
static bool
is_of_the_record(int kind)
{
	return kind == ERR_CORRUPT || kind == ERR_AUTH || kind == ERR_CONFIG;
}

static int
take_key(const struct store_entry *e, void *arg, struct err *err)
{
	struct lister *l = arg;
	struct high_water h;
	struct err why = {0};
	int rc;

	if (!high_water_name_parse(e->key + l->skip, &h))
		return 0;
	if (l->reading->read++ == HIGH_WATER_READ_MAX)
		return ENOUGH;
	rc = high_water_open(&h, l->repo, e->key + l->skip, &why);
	if (rc == 0)
		return l->each(&h, l->arg) ? 0 : ENOUGH;
	if (rc == ERR_NOT_FOUND) /* removed since it was listed */
		return 0;
	if (is_of_the_record(rc) && why.sys == 0) {
		if (l->reading->unbelievable++ == 0)
			l->reading->why = why;
		return 0;
	}
	if (err != NULL)
		*err = why;
	return rc;
}

int
high_water_read(
    struct repository *r, uint64_t sysid, high_water_each *each, void *arg, struct high_water_reading *reading, struct err *err)
{
	struct lister l = {.repo = r, .each = each, .arg = arg, .reading = reading};
	char relative[OBJECT_NAME_MAX], prefix[STORE_KEY_MAX];
	int rc = layout_high_water_folder(relative, sysid, err);

	*reading = (struct high_water_reading){0};
	if (rc == 0)
		rc = layout_key(prefix, r->cluster_name, relative, err);
	if (rc < 0)
		return rc;
	l.skip = strlen(prefix) - strlen(relative);
	rc = store_list(r->store, prefix, take_key, &l, err);
	return rc < 0 ? err_wrap(err, "high-water records of repository '%s'", r->name) : 0;
}
