#include "ops/identity_copy.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "repo/backup_set.h"
#include "repo/stored.h"

#define FILE_MAX 4096

static char *
path_of(const struct op *op)
{
	return str_printf("%s/identity-copy/%s.json", op->config->state_directory, op->cluster->name);
}

static int
remember(const struct op *op, const struct identity_copy *copy, struct err *err)
{
	FREE_AUTO char *path = path_of(op);
	FREE_AUTO char *directory = str_printf("%s/identity-copy", op->config->state_directory);
	BUF_AUTO struct buf text = {.max = FILE_MAX};
	JSON_AUTO json_t *o = json_object();
	char when[32];
	int rc;

	clock_format_utc(when, sizeof(when), copy->time_us);
	if (path == NULL || directory == NULL || json_object_set_new(o, "time", json_string(when)) < 0 ||
	    json_set_hex(o, "recipient", copy->recipient, KEY_BYTES) < 0)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the proof of a copy");
	rc = json_write(o, &text, err);
	if (rc == 0)
		rc = fs_make_dirs(directory, 0700, err);
	return rc < 0 ? rc : fs_write_file(path, text.data, text.len, 0600, FS_REPLACE, err);
}

int
identity_copy_read(const struct op *op, struct identity_copy *out, struct err *err)
{
	FREE_AUTO char *path = path_of(op);
	BUF_AUTO struct buf text = {.max = FILE_MAX};
	JSON_AUTO json_t *o = NULL;
	const char *when;
	int rc =
	    path == NULL ? err_set(err, ERR_NOMEM, 0, "out of memory for a path") : fs_read_file(path, FILE_MAX, &text, err);

	if (rc == 0)
		rc = json_read(&o, buf_text(&text), text.len, path, err);
	if (rc == 0)
		rc = json_get_str(o, "time", &when, err);
	if (rc == 0 && clock_parse_utc(when, &out->time_us, NULL) < 0)
		rc = err_set(err, ERR_CORRUPT, 0, "member 'time' is no time");
	return rc < 0 ? rc : json_get_hex(o, "recipient", out->recipient, KEY_BYTES, err);
}

/* One path or two to the same file prove nothing. */
static int
refuse_itself(const struct op *op, const char *path, struct err *err)
{
	struct stat one, other;

	if (stat(path, &one) < 0 || stat(op->config->identity, &other) < 0 || one.st_dev != other.st_dev ||
	    one.st_ino != other.st_ino)
		return 0;
	err_set(err, ERR_REFUSED, 0, "'%s' is the identity itself, not a copy of it", path);
	return err_hint(err, "bring the copy, from where it is kept: neither this host nor a repository");
}

/* Which of its keys counts: one that the repository has as a recipient. */
static int
find_recipient(const struct identity *id, const struct repository *r, uint8_t out[KEY_BYTES], struct err *err)
{
	for (size_t i = 0; i < identity_count(id); i++) {
		identity_recipient(id, i, out);
		if (recipients_contains(&r->recipients, out))
			return 0;
	}
	err_set(err, ERR_AUTH, 0, "no key of it is a recipient of repository '%s'", r->name);
	return err_hint(err, "it is the identity of another cluster, or was replaced");
}

/* By a backup, the newest: what it is kept for. */
static int
open_newest(struct repository *r, struct keyring *ring, bool *opened, struct err *err)
{
	BACKUP_SET_AUTO struct backup_set set = {0};
	STORED_AUTO struct stored *s = NULL;
	char name[OBJECT_NAME_MAX];
	int rc = backup_set_read(&set, r, err);

	*opened = false;
	for (size_t i = set.n; rc == 0 && i-- > 0;) {
		if (set.list[i].damaged)
			continue;
		rc = layout_manifest(name, set.list[i].label, set.list[i].generation, err);
		if (rc == 0)
			rc = stored_open(&s, r, name, OBJECT_MANIFEST, err);
		if (rc == 0)
			rc = stored_unlock(s, ring, err);
		*opened = rc == 0;
		break;
	}
	return rc;
}

static int
prove_in(const struct op *op, const struct config_repository *c, const struct identity *id, struct keyring *ring,
    struct identity_copy *copy, struct identity_copy_result *result, struct err *err)
{
	REPOSITORY_AUTO struct repository *r = NULL;
	bool opened;
	int rc = op_open_repository(op, c, NULL, &r, err);

	if (rc < 0 || !r->has_cluster || !r->encrypted)
		return rc;
	rc = find_recipient(id, r, copy->recipient, err);
	if (rc == 0)
		rc = open_newest(r, ring, &opened, err);
	if (rc < 0)
		return rc;
	result->repositories++;
	result->backups += opened;
	return 0;
}

int
identity_copy_prove(const struct op *op, const char *path, struct identity_copy_result *result, struct err *err)
{
	IDENTITY_AUTO struct identity *id = NULL;
	KEYRING_AUTO struct keyring *ring = NULL;
	struct identity *for_ring = NULL;
	struct identity_copy copy = {.time_us = clock_now_us()};
	int rc = refuse_itself(op, path, err);

	*result = (struct identity_copy_result){0};
	if (rc == 0)
		rc = identity_read_file(&id, path, err);
	if (rc == 0)
		rc = identity_read_file(&for_ring, path, err);
	if (rc == 0)
		rc = keyring_new(&ring, for_ring, err); /* takes it over */
	if (rc == 0)
		rc = op_become_state_owner(op, err);
	for (size_t i = 0; rc == 0 && i < op->config->n_repositories; i++)
		if (op->config->repositories[i].state == CONFIG_REPOSITORY_ACTIVE)
			rc = prove_in(op, &op->config->repositories[i], id, ring, &copy, result, err);
	if (rc == 0 && result->repositories == 0)
		rc = err_set(err, ERR_CONFIG, 0, "no repository holds anything encrypted of cluster '%s'", op->cluster->name);
	if (rc == 0)
		rc = remember(op, &copy, err);
	if (rc < 0)
		return err_wrap(err, "the copy '%s' is not proved", path);
	key_format(result->recipient, KEY_TYPE_RECIPIENT, copy.recipient);
	return 0;
}
