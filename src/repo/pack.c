#include "repo/pack.h"

#include "base/json.h"

#define PACKS_A_STEP_SHIFT 15
#define PACK_STEPS_MAX 5
#define PACKS_MAX ((uint32_t)(PACK_STEPS_MAX + 1) << PACKS_A_STEP_SHIFT)

struct pack_writer {
	struct writer *writer;
	struct fanout *fanout;
	const struct epoch *epoch;
	const char *label;
	struct worker_pool *pool;
	struct writer_object object; /* the open pack; its object is NULL when none is open */
	struct manifest_pack *packs; /* those that were published */
	size_t n, cap;
	uint64_t stored;
};

int
pack_writer_new(struct pack_writer **out, struct writer *w, struct fanout *f, const struct epoch *epoch, const char *label,
    struct worker_pool *pool, struct err *err)
{
	struct pack_writer *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for packs");
	*p = (struct pack_writer){.writer = w, .fanout = f, .epoch = epoch, .label = label, .pool = pool};
	if (object_slots_new(&p->object.slots, pool, err) < 0) {
		free(p);
		return ERR_NOMEM;
	}
	*out = p;
	return 0;
}

void
pack_writer_free(struct pack_writer *p)
{
	if (p == NULL)
		return;
	writer_object_free(&p->object);
	object_slots_free(p->object.slots);
	free(p->packs);
	free(p);
}

static uint64_t
limit_of(size_t n)
{
	size_t step = n >> PACKS_A_STEP_SHIFT;

	return PACK_PLAIN << (step < PACK_STEPS_MAX ? step : PACK_STEPS_MAX);
}

static int
start(struct pack_writer *p, struct err *err)
{
	char name[OBJECT_NAME_MAX];
	int rc;

	if (p->n == PACKS_MAX)
		return err_set(err, ERR_CONFIG, 0, "a backup of more than %u packs", PACKS_MAX);
	rc = layout_pack(name, p->label, (unsigned)p->n, err);
	if (rc == 0)
		rc = writer_start(p->writer, p->fanout, &p->object, OBJECT_PACK, name, p->epoch, NULL, p->pool, err);
	return rc < 0 ? err_wrap(err, "pack %zu", p->n) : 0;
}

/* Labels are drawn at random: a name that is taken is not ours, and a target without our pack is out. */
static int
drop_incomplete(struct pack_writer *p, struct err *err)
{
	struct err why;

	for (size_t i = 0; i < p->fanout->n; i++) {
		const struct fanout_target *t = &p->fanout->targets[i];

		if (t->failed || t->done)
			continue;
		err_set(&why, ERR_EXISTS, 0, "pack %zu of backup '%s' is there already", p->n, p->label);
		fanout_fail(p->fanout, i, &why);
	}
	if (fanout_alive(p->fanout) > 0)
		return 0;
	if (err != NULL)
		*err = why;
	return why.kind;
}

static int
add_pin(struct pack_writer *p, const struct object_result *r, struct err *err)
{
	struct manifest_pack *pin;

	if (p->n == p->cap) {
		size_t cap = p->cap == 0 ? 64 : 2 * p->cap;
		struct manifest_pack *more = realloc(p->packs, cap * sizeof(*more));

		if (more == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for %zu packs", cap);
		p->packs = more;
		p->cap = cap;
	}
	pin = &p->packs[p->n++];
	pin->plain = r->plain;
	pin->stored = r->stored;
	memcpy(pin->digest, r->digest, OBJECT_DIGEST);
	p->stored += r->stored;
	return 0;
}

/* Publish the open pack. */
static int
publish(struct pack_writer *p, struct err *err)
{
	JSON_AUTO json_t *o = json_pack("{s:s,s:I}", "label", p->label, "pack", (json_int_t)p->n);
	BUF_AUTO struct buf clear = {.max = OBJECT_PART_MAX};
	struct object_result result;
	int rc = json_write(o, &clear, err);

	if (rc == 0)
		rc = object_writer_finish(p->object.object, &clear, NULL, &result, err);
	if (rc == 0)
		rc = drop_incomplete(p, err);
	writer_object_free(&p->object);
	if (rc == 0)
		rc = add_pin(p, &result, err);
	return rc < 0 ? err_wrap(err, "pack %zu", p->n) : 0;
}

int
pack_writer_append(struct pack_writer *p, const void *data, size_t len, struct manifest_run *run, struct err *err)
{
	int rc = 0;

	if (len > PACK_PLAIN)
		return err_set(err, ERR_BUG, 0, "a piece of %zu bytes for a pack", len);
	if (p->object.object != NULL && len > limit_of(p->n) - object_writer_plain(p->object.object))
		rc = publish(p, err);
	if (rc == 0 && p->object.object == NULL)
		rc = start(p, err);
	if (rc < 0)
		return rc;
	run->pack = (uint32_t)p->n;
	run->pack_offset = object_writer_plain(p->object.object);
	run->length = len;
	rc = object_writer_write(p->object.object, data, len, err);
	return rc < 0 ? err_wrap(err, "pack %zu", p->n) : 0;
}

int
pack_writer_finish(struct pack_writer *p, struct manifest_pack **packs, size_t *n, struct err *err)
{
	int rc = p->object.object != NULL ? publish(p, err) : 0;

	if (rc < 0)
		return rc;
	*packs = STEAL(p->packs);
	*n = p->n;
	p->n = p->cap = 0;
	return 0;
}

uint64_t
pack_writer_stored(const struct pack_writer *p)
{
	return p->stored;
}
