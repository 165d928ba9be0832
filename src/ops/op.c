#include "ops/op.h"

#include <errno.h>

#include "base/fs.h"
#include "base/str.h"
#include "ops/owner.h"

#define PINS_MAX SIGNERS_MAX

struct pins {
	uint8_t keys[PINS_MAX][KEY_BYTES];
	size_t n;
};

static int
add_pin(const char *line, size_t len, void *arg, struct err *err)
{
	struct pins *p = arg;
	const char *blank = memchr(line, ' ', len);

	if (p->n == PINS_MAX)
		return err_set(err, ERR_CONFIG, 0, "more than %d signers", PINS_MAX);
	return key_parse(p->keys[p->n++], KEY_TYPE_SIGNER, line, blank != NULL ? (size_t)(blank - line) : len, err);
}

char *
op_pin_path(const struct op *op, const char *repository)
{
	return str_printf("%s/repositories/%s", op->config->state_directory, repository);
}

/* The id that init noted on this host; "" when it did not. */
static int
pinned_id(const struct op *op, const char *repository, char id[REPOSITORY_ID_TEXT], struct err *err)
{
	FREE_AUTO char *path = op_pin_path(op, repository);
	BUF_AUTO struct buf text = {.max = 4096};
	int rc;

	id[0] = '\0';
	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	rc = fs_read_file(path, 4096, &text, err);
	if (rc == ERR_NOT_FOUND)
		return 0;
	if (rc < 0)
		return rc;
	while (text.len > 0 && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	if (text.len != REPOSITORY_ID_TEXT - 1)
		return err_set(err, ERR_CORRUPT, 0, "'%s' does not hold a repository's id", path);
	memcpy(id, text.data, text.len + 1);
	return 0;
}

static int
open_now(const struct op *op, const struct config_repository *c, const char *expected_id, struct guard *guard,
    struct repository **out, struct err *err)
{
	struct repository_options o = {.name = c->name, .url = c->url, .cluster_name = op->cluster->name, .guard = guard};
	FREE_AUTO struct pins *pins = calloc(1, sizeof(*pins));
	char id[REPOSITORY_ID_TEXT];
	int rc;

	if (pins == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for the signers file");
	rc = key_file_each(op->config->signers_file, false, add_pin, pins, err);
	if (rc < 0 && rc != ERR_NOT_FOUND)
		return rc;
	rc = pinned_id(op, c->name, id, err);
	if (rc < 0)
		return rc;
	o.expected_id = expected_id != NULL ? expected_id : c->id != NULL ? c->id : id[0] != '\0' ? id : NULL;
	o.pins = pins->keys;
	o.n_pins = pins->n;
	return repository_open(out, &o, err);
}

/* An opening that is guarded as a whole. It uses op and c until it comes back. */
struct opening {
	const struct op *op;
	const struct config_repository *c;
	char expected_id[REPOSITORY_ID_TEXT];
	struct repository *repo, **out;
};

static int
opening_run(void *arg, struct err *err)
{
	struct opening *o = arg;

	return open_now(o->op, o->c, o->expected_id[0] != '\0' ? o->expected_id : NULL, NULL, &o->repo, err);
}

static void
opening_take(void *arg)
{
	struct opening *o = arg;

	*o->out = STEAL(o->repo);
}

static void
opening_release(void *arg)
{
	struct opening *o = arg;

	repository_free(o->repo); /* nobody came for it */
	free(o);
}

static int
open_guarded(
    const struct op *op, const struct config_repository *c, const char *expected_id, struct repository **out, struct err *err)
{
	static const struct guard_work work = {opening_run, opening_take, opening_release};
	struct opening *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a repository");
	*o = (struct opening){.op = op, .c = c, .out = out};
	if (expected_id != NULL)
		(void)snprintf(o->expected_id, sizeof(o->expected_id), "%s", expected_id);
	return guard_do(guards_of(op->guards, c), &work, o, err);
}

int
op_open_repository(
    const struct op *op, const struct config_repository *c, const char *expected_id, struct repository **out, struct err *err)
{
	if (op->guards != NULL && op->guards_open_only)
		return open_guarded(op, c, expected_id, out, err);
	return open_now(op, c, expected_id, guards_of(op->guards, c), out, err);
}

int
op_open_target(
    const struct op *op, const struct config_repository *c, const struct writer *w, struct repository **out, struct err *err)
{
	REPOSITORY_AUTO struct repository *r = NULL;
	int rc = op_open_repository(op, c, NULL, &r, err);

	if (rc == 0 && w != NULL)
		rc = writer_check(w, r, err);
	if (rc == 0)
		*out = STEAL(r);
	return rc;
}

int
op_same_cluster(const struct op *op, const struct fanout *f, struct err *err)
{
	const struct repository *first = fanout_first(f);

	for (size_t i = 0; first != NULL && first->has_cluster && i < f->n; i++) {
		const struct fanout_target *t = &f->targets[i];

		if (!t->failed && t->repo->has_cluster && memcmp(t->repo->cluster, first->cluster, OBJECT_CLUSTER) != 0)
			return err_set(err, ERR_CONFIG, 0,
			    "repositories '%s' and '%s' hold different clusters under the name '%s'", first->name,
			    t->repo->name, op->cluster->name);
	}
	return 0;
}

int
op_open_fanout(const struct op *op, const struct writer *w, struct fanout **out, struct err *err)
{
	const struct config *cfg = op->config;
	FANOUT_AUTO struct fanout *f = NULL;
	struct err one = {.kind = ERR_CONFIG, .msg = "no active repository is configured"};
	int rc = fanout_new(&f, cfg->n_repositories, err);

	if (rc < 0)
		return rc;
	f->n = 0;
	for (size_t i = 0; i < cfg->n_repositories; i++) {
		const struct config_repository *c = &cfg->repositories[i];
		struct fanout_target *t = &f->targets[f->n];

		if (c->state == CONFIG_REPOSITORY_LOST)
			continue;
		t->name = c->name;
		f->n++;
		rc = op_open_target(op, c, w, &t->repo, &one);
		if (rc < 0) {
			fanout_fail(f, f->n - 1, &one);
			log_err(op->log, LOG_WARN, &t->err);
		}
	}
	if (fanout_alive(f) == 0) {
		*err = one;
		return one.kind;
	}
	rc = op_same_cluster(op, f, err);
	if (rc < 0)
		return rc;
	if (!fanout_first(f)->encrypted && fanout_first(f)->has_cluster)
		op_warn_unencrypted(op);
	*out = STEAL(f);
	return 0;
}

void
op_warn_unencrypted(const struct op *op)
{
	log_write(op->log, LOG_WARN, "encryption = none: whoever reads the repositories of cluster '%s' reads its data",
	    op->cluster->name);
}

int
op_acknowledged(const struct op *op, const struct fanout *f, struct err *err)
{
	const struct config *cfg = op->config;
	FREE_AUTO bool *done = calloc(cfg->n_repositories + 1, sizeof(bool));
	const struct err *why = NULL;
	size_t at = 0;

	if (done == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory");
	for (size_t i = 0; i < cfg->n_repositories; i++) {
		if (cfg->repositories[i].state == CONFIG_REPOSITORY_LOST)
			continue;
		done[i] = f->targets[at].done;
		if (f->targets[at].failed)
			why = &f->targets[at].err;
		at++;
	}
	if (acknowledge_satisfied(cfg, done))
		return 0;
	if (why == NULL)
		return err_set(err, ERR_BUG, 0, "not in enough repositories and none has failed");
	*err = *why;
	err_wrap(err, "not in as many repositories as [archive] acknowledge asks for");
	return err->kind;
}

static uint8_t
codec_of(enum config_compression c)
{
	return c == CONFIG_COMPRESSION_ZSTD ? OBJECT_CODEC_ZSTD : OBJECT_CODEC_LZ4;
}

int
op_open_writer(const struct op *op, struct writer **out, struct err *err)
{
	const struct config *cfg = op->config;
	const struct writer_options o = {
	    .cluster_name = op->cluster->name,
	    .state_directory = cfg->state_directory,
	    .recipients_file = cfg->recipients_file,
	    .comparison_key = cfg->comparison_key,
	    .signing_key = cfg->signing_key,
	    .encrypted = op->cluster->encryption == CONFIG_ENCRYPTION_ON,
	    .wal_codec = codec_of(op->cluster->wal_compression),
	    .backup_codec = codec_of(op->cluster->backup_compression),
	};

	return writer_open(out, &o, err);
}

int
op_open_keyring(const struct op *op, struct keyring **out, struct err *err)
{
	struct identity *id = NULL;
	int rc = identity_read_file(&id, op->config->identity, err);

	if (rc < 0 && rc != ERR_NOT_FOUND)
		return rc;
	return keyring_new(out, id, err);
}

int
op_become_owner(const struct op *op, struct err *err)
{
	struct owner owner;
	int rc = op_need_pgdata(op, err);

	if (rc == 0)
		rc = owner_of(&owner, op->cluster->pgdata, err);
	return rc < 0 ? rc : owner_become(&owner, "PGDATA", err);
}

int
op_become_state_owner(const struct op *op, struct err *err)
{
	FREE_AUTO char *what = NULL;
	struct owner owner;
	int rc = owner_of(&owner, op->config->state_directory, err);

	if (rc < 0 && err->sys == ENOENT) {
		err->kind = rc = ERR_CONFIG;
		err_hint(err, "run: pgcairn init");
	}
	if (rc == 0 && (what = str_printf("the state directory '%s'", op->config->state_directory)) == NULL)
		rc = err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	return rc < 0 ? rc : owner_become(&owner, what, err);
}

int
op_need_pgdata(const struct op *op, struct err *err)
{
	if (op->cluster->pgdata != NULL)
		return 0;
	err_set(err, ERR_CONFIG, 0, "cluster '%s' has no pgdata", op->cluster->name);
	return err_hint(err, "set it in [cluster:%s]", op->cluster->name);
}
