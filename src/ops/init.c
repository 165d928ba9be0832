#include "ops/init.h"

#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "ops/init_keys.h"
#include "ops/owner.h"
#include "ops/place.h"
#include "pg/control.h"
#include "store/file.h"

#define FILE_SCHEME "file://"
#define KEY_FILES(cfg)                                                                                                         \
	{                                                                                                                      \
		(cfg)->recipients_file, (cfg)->comparison_key, (cfg)->identity, (cfg)->signers_file, (cfg)->signing_key        \
	}

struct init {
	const struct op *op;
	const struct init_options *options;
	struct init_result *result;
	struct control control;
	int major;
	struct repository **repositories; /* one a result row */
	struct repository *known;         /* borrowed: the first that holds the cluster; NULL: a new cluster */
	struct init_keys keys;
};

static int
active_at(const struct op *op, size_t row, const struct config_repository **out)
{
	for (size_t i = 0; i < op->config->n_repositories; i++) {
		if (op->config->repositories[i].state == CONFIG_REPOSITORY_LOST)
			continue;
		if (row-- == 0) {
			*out = &op->config->repositories[i];
			return 0;
		}
	}
	return ERR_NOT_FOUND;
}

static int
read_cluster(struct init *in, struct err *err)
{
	const char *pgdata = in->op->cluster->pgdata;
	int rc = op_need_pgdata(in->op, err);

	if (rc == 0)
		rc = control_read_pgdata(pgdata, &in->control, err);
	if (rc == 0)
		rc = control_read_version(pgdata, &in->major, err);
	if (rc == ERR_NOT_FOUND) {
		err->kind = rc = ERR_CONFIG;
		err_wrap(err, "pgdata '%s' is not a data directory", pgdata);
	}
	return rc;
}

static int
check_places(struct init *in, struct err *err)
{
	const struct config_repository *c;

	for (size_t i = 0; active_at(in->op, i, &c) == 0; i++) {
		struct init_repository *row = &in->result->repositories[i];
		int rc = place_check(in->op, c, &row->same_device, err);

		if (rc == 0)
			rc = str_copy(row->name, sizeof(row->name), c->name, "repository name", err);
		if (rc < 0)
			return rc;
		in->result->n_repositories = i + 1;
	}
	return 0;
}

/* Every directory that this host needs, owned by PGDATA's owner; then go on as that user. */
static int
make_directories(struct init *in, struct err *err)
{
	const struct config *cfg = in->op->config;
	const char *const files[] = KEY_FILES(cfg);
	const struct config_repository *c;
	struct owner owner;
	int rc = owner_of(&owner, in->op->cluster->pgdata, err);

	if (rc == 0)
		rc = owner_make_dirs(&owner, cfg->state_directory, 0700, err);
	if (rc == 0)
		rc = owner_make_dirs(&owner, cfg->run_directory, 0755, err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(files); i++)
		rc = owner_make_parent(&owner, files[i], 0755, err);
	for (size_t i = 0; rc == 0 && active_at(in->op, i, &c) == 0; i++) {
		FREE_AUTO char *path = NULL;

		if (!str_starts(c->url, FILE_SCHEME))
			continue;
		rc = store_file_url_path(&path, c->url, err);
		if (rc == 0)
			rc = owner_make_dirs(&owner, path, 0750, err);
	}
	if (rc == 0)
		rc = owner_become(&owner, "PGDATA", err);
	/* an init that was killed may have left a second name of a key that nobody ever writes again */
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(files); i++)
		fs_tidy(files[i]);
	return rc;
}

/* This host remembers which repository it is: a later one in its place will be noticed. */
static int
pin(const struct op *op, const char *name, const char *id, struct err *err)
{
	FREE_AUTO char *path = op_pin_path(op, name), *dir = str_printf("%s/repositories", op->config->state_directory);
	char line[REPOSITORY_ID_TEXT + 1];
	int rc;

	if (path == NULL || dir == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	(void)snprintf(line, sizeof(line), "%s\n", id);
	rc = fs_make_dirs(dir, 0700, err);
	if (rc == 0)
		rc = fs_write_file(path, line, strlen(line), 0600, FS_CREATE_ONLY, err);
	if (rc == 0 || rc == ERR_EXISTS) /* op_open_repository compared it */
		rc = fs_settle(path, err);
	return rc;
}

static bool
is_pinned(const struct op *op, const struct config_repository *c)
{
	FREE_AUTO char *path = op_pin_path(op, c->name);

	return c->id != NULL || (path != NULL && access(path, F_OK) == 0);
}

static int
open_or_create(struct init *in, size_t i, const struct config_repository *c, struct err *err)
{
	struct init_repository *row = &in->result->repositories[i];
	int rc = 0;

	/* one that this host knows must be there: a missing marker then means that nothing is mounted, not that it is new */
	if (!is_pinned(in->op, c)) {
		rc = repository_create(c->url, row->id, err);
		row->created = rc == 0;
		if (rc == ERR_EXISTS)
			rc = 0;
	}
	if (rc < 0)
		return err_wrap(err, "repository '%s'", c->name);
	rc = op_open_repository(in->op, c, NULL, &in->repositories[i], err);
	if (rc == 0)
		rc = pin(in->op, c->name, in->repositories[i]->id, err);
	if (rc < 0)
		return rc;
	memcpy(row->id, in->repositories[i]->id, sizeof(row->id));
	if (in->repositories[i]->has_cluster && in->known == NULL)
		in->known = in->repositories[i];
	return in->repositories[i]->store->ops->caps(in->repositories[i]->store, &row->caps, err);
}

static int
open_all(struct init *in, struct err *err)
{
	const struct config_repository *c;
	int rc = 0;

	for (size_t i = 0; rc == 0 && active_at(in->op, i, &c) == 0; i++)
		rc = open_or_create(in, i, c, err);
	return rc;
}

static int
check_lineage(const struct init *in, const struct repository *r, struct err *err)
{
	if (repository_lineage(r, in->control.sysid) != NULL)
		return 0;
	err_set(err, ERR_REFUSED, 0, "repository '%s' holds another cluster under the name '%s'", r->name, r->cluster_name);
	return err_hint(
	    err, "give this cluster (system identifier %" PRIu64 ") a name of its own: [cluster:OTHER]", in->control.sysid);
}

/* The cluster's folder where there is none yet; where there is one, it has to be this cluster. */
static int
found_all(struct init *in, struct err *err)
{
	struct cluster_founding f = {
	    .lineage = {.sysid = in->control.sysid, .segment_size = in->control.wal_segment_size, .major = (unsigned)in->major},
	    .recipients = in->result->encrypted ? &in->keys.recipients : NULL,
	    .comparison_key = in->keys.comparison->bytes,
	    .signer = &in->keys.signing,
	    .signer_name = in->keys.host,
	};
	int rc = 0;

	f.known = in->known != NULL;
	if (f.known)
		memcpy(f.cluster, in->known->cluster, OBJECT_CLUSTER);
	else
		clock_random(f.cluster, OBJECT_CLUSTER);
	for (size_t i = 0; rc == 0 && i < in->result->n_repositories; i++) {
		struct repository *r = in->repositories[i];

		if (r->has_cluster) {
			rc = check_lineage(in, r, err);
			if (rc == 0)
				rc = repository_settle_records(r, err);
			continue;
		}
		rc = repository_found_cluster(r, &f, err);
		in->result->repositories[i].founded = rc == 0;
		/* what the first one was found to be, all are */
		memcpy(f.cluster, r->cluster, OBJECT_CLUSTER);
		f.known = true;
	}
	return rc;
}

/* Keys before the records that name them: an earlier init may have been killed between a file's name and its fsync. */
static int
settle_keys(const struct config *cfg, struct err *err)
{
	const char *const files[] = KEY_FILES(cfg);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(files); i++) {
		rc = fs_settle(files[i], err);
		if (rc == ERR_NOT_FOUND) /* an identity may be elsewhere, and without encryption there is none */
			rc = 0;
	}
	return rc;
}

static int
make_keys(struct init *in, struct err *err)
{
	int rc;

	if (in->known == NULL)
		rc = init_keys_new_cluster(&in->keys, in->op, in->result, err);
	else
		rc = init_keys_existing_cluster(&in->keys, in->op, in->known, in->options->join, in->result, err);
	return rc < 0 ? rc : settle_keys(in->op->config, err);
}

static int
run(struct init *in, struct err *err)
{
	int rc = read_cluster(in, err);

	if (rc == 0)
		rc = check_places(in, err);
	if (rc < 0 || in->options->dry_run)
		return rc;
	rc = make_directories(in, err);
	if (rc == 0)
		rc = open_all(in, err);
	if (rc == 0 && in->known != NULL)
		rc = check_lineage(in, in->known, err);
	if (rc == 0)
		rc = make_keys(in, err);
	if (rc < 0 || in->result->needs_enrolment)
		return rc;
	return found_all(in, err);
}

int
init_run(const struct op *op, const struct init_options *o, struct init_result *result, struct err *err)
{
	struct init in = {.op = op, .options = o, .result = result};
	size_t n = op->config->n_repositories;
	int rc;

	memset(result, 0, sizeof(*result));
	result->encrypted = op->cluster->encryption == CONFIG_ENCRYPTION_ON;
	result->repositories = calloc(n + 1, sizeof(*result->repositories));
	in.repositories = calloc(n + 1, sizeof(struct repository *));
	if (result->repositories == NULL || in.repositories == NULL)
		rc = err_set(err, ERR_NOMEM, 0, "out of memory for repositories");
	else
		rc = run(&in, err);
	for (size_t i = 0; in.repositories != NULL && i < n; i++)
		repository_free(in.repositories[i]);
	free(in.repositories);
	init_keys_free(&in.keys);
	return rc;
}

void
init_result_free(struct init_result *r)
{
	free(r->repositories);
	r->repositories = NULL;
}
