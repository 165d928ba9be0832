#include "repo/copy.h"

static int
copy_as_is(struct stored *from, struct repository *to, const char *at, struct err *err)
{
	SINK_AUTO struct sink *sink = NULL;
	char key[STORE_KEY_MAX];
	int rc = layout_key(key, to->cluster_name, at, err);

	if (rc == 0)
		rc = store_put(to->store, key, &sink, err);
	if (rc == 0)
		rc = stored_copy(from, sink, err);
	return rc < 0 ? rc : sink_finish(sink, err);
}

static int
copy_key(struct stored *have, struct repository *to, struct err *err)
{
	STORED_AUTO struct stored *key = NULL;
	char name[OBJECT_NAME_MAX];
	int rc;

	if (have->index->header.cipher == OBJECT_CIPHER_NONE)
		return 0;
	rc = layout_epoch_key(name, have->index->header.key_id, 0, err);
	if (rc == 0)
		rc = stored_open(&key, have->repo, name, OBJECT_EPOCH_KEY, err);
	if (rc == 0)
		rc = copy_as_is(key, to, name, err);
	/* whoever made it may have died before it was durable */
	return rc == ERR_EXISTS ? repository_settle(to, name, err) : rc;
}

int
object_copy(struct stored *have, struct repository *to, const char *at, struct err *err)
{
	int rc = copy_key(have, to, err);

	return rc < 0 ? rc : copy_as_is(have, to, at, err);
}
