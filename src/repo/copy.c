#include "repo/copy.h"

/* A sink that notes who failed: what goes wrong in front of it is the source's. */
struct witness {
	struct sink sink; /* first */
	struct sink *next;
	bool failed;
};

static int
witness_write(struct sink *sink, const void *data, size_t len, struct err *err)
{
	struct witness *w = (struct witness *)sink;
	int rc = sink_write(w->next, data, len, err);

	w->failed = w->failed || rc < 0;
	return rc;
}

int
object_copy_alone(struct stored *have, struct repository *to, const char *at, bool *by_to, struct err *err)
{
	static const struct sink_ops ops = {.write = witness_write}; /* stored_copy does nothing else with it */
	SINK_AUTO struct sink *sink = NULL;
	struct witness w = {.sink.ops = &ops};
	char key[STORE_KEY_MAX];
	int rc = layout_key(key, to->cluster_name, at, err);

	*by_to = false;
	if (rc < 0)
		return rc;
	rc = store_put(to->store, key, &sink, err);
	if (rc < 0) {
		*by_to = true;
		return rc;
	}
	w.next = sink;
	rc = stored_copy(have, &w.sink, err);
	if (rc < 0) {
		*by_to = w.failed;
		return rc;
	}
	*by_to = true;
	return sink_finish(sink, err);
}

/* It is there: whoever made it may have died before it was durable. */
static int
settle_key(struct repository *to, const char *name, bool *by_to, struct err *err)
{
	*by_to = true;
	return repository_settle(to, name, err);
}

int
object_copy_key(const struct stored *have, struct repository *from, struct repository *to, bool *by_to, struct err *err)
{
	STORED_AUTO struct stored *key = NULL;
	char name[OBJECT_NAME_MAX];
	struct store_stat st;
	int rc;

	*by_to = false;
	if (have->index->header.cipher == OBJECT_CIPHER_NONE)
		return 0;
	rc = layout_epoch_key(name, have->index->header.key_id, 0, err);
	if (rc < 0)
		return rc;
	*by_to = true;
	rc = repository_stat(to, name, &st, err);
	if (rc == 0)
		return settle_key(to, name, by_to, err);
	if (rc != ERR_NOT_FOUND)
		return rc;
	*by_to = false;
	rc = stored_open(&key, from, name, OBJECT_EPOCH_KEY, err);
	if (rc == 0)
		rc = object_copy_alone(key, to, name, by_to, err);
	return rc == ERR_EXISTS ? settle_key(to, name, by_to, err) : rc;
}

int
object_copy(struct stored *have, struct repository *to, const char *at, struct err *err)
{
	bool by_to;
	int rc = object_copy_key(have, have->repo, to, &by_to, err);

	return rc < 0 ? rc : object_copy_alone(have, to, at, &by_to, err);
}
