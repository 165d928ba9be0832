#include "ops/fetch_source.h"

#include "repo/wal_object.h"

static bool
named(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

static int
all_known(const struct op *op, const char *const *list, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (config_repository(op->config, list[i]) == NULL)
			return err_set(err, ERR_CONFIG, 0, "no repository '%s' is configured", list[i]);
	return 0;
}

int
fetch_selected(
    const struct op *op, const struct config_repository *c, const struct fetch_options *o, bool *selected, struct err *err)
{
	int rc = all_known(op, o->only, o->n_only, err);

	if (rc == 0)
		rc = all_known(op, o->without, o->n_without, err);
	if (rc < 0)
		return rc;
	*selected = c->state != CONFIG_REPOSITORY_LOST && (o->n_only == 0 || named(o->only, o->n_only, c->name)) &&
		    !named(o->without, o->n_without, c->name);
	return 0;
}

int
fetch_find_control(const struct op *op, struct control *out, struct err *err)
{
	int rc = control_read_pgdata(".", out, err);

	if (rc == ERR_NOT_FOUND && op->cluster->pgdata != NULL)
		rc = control_read_pgdata(op->cluster->pgdata, out, err);
	if (rc < 0) {
		rc = err->kind == ERR_NOT_FOUND || err->kind == ERR_REFUSED ? ERR_CONFIG : err->kind;
		err->kind = rc;
		return err_hint(err, "run it as restore_command, or with --session FILE");
	}
	return 0;
}

int
fetch_find_sysid(const struct op *op, uint64_t *sysid, struct err *err)
{
	struct control control;
	int rc = fetch_find_control(op, &control, err);

	if (rc == 0)
		*sysid = control.sysid;
	return rc;
}

static int
open_keys(struct fetch_source *s, struct err *err)
{
	const char *session = s->options->session;
	int rc = op_open_keyring(s->op, &s->ring, err);

	if (rc == ERR_AUTH || rc == ERR_IO) { /* an identity that the server's user may not read: the session has the keys */
		if (session == NULL)
			return rc;
		rc = keyring_new(&s->ring, NULL, err);
	}
	if (rc == 0 && session != NULL) {
		rc = session_read(&s->session, session, s->ring, err);
		if (rc == ERR_NOT_FOUND) /* removed when an earlier recovery ended: the identity has to do */
			rc = 0;
	}
	return rc;
}

int
fetch_source_open(struct fetch_source *s, const struct op *op, const struct fetch_options *o, struct err *err)
{
	int rc;

	s->op = op;
	s->options = o;
	s->open = calloc(op->config->n_repositories, sizeof(struct repository *));
	if (s->open == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for repositories");
	rc = open_keys(s, err);
	if (rc < 0 || s->session == NULL)
		return rc < 0 ? rc : fetch_find_sysid(op, &s->sysid, err);
	s->sysid = s->session->sysid;
	return 0;
}

static void
close_repository(struct fetch_source *s, size_t i)
{
	repository_free(s->open[i]);
	s->open[i] = NULL;
}

void
fetch_source_close(struct fetch_source *s)
{
	for (size_t i = 0; s->open != NULL && i < s->op->config->n_repositories; i++)
		close_repository(s, i);
	free(s->open);
	s->open = NULL;
	keyring_free(STEAL(s->ring));
	session_free(STEAL(s->session));
}

static int
open_repository(struct fetch_source *s, size_t i, struct err *err)
{
	const struct config_repository *c = &s->op->config->repositories[i];
	const struct session_repository *known = session_repository(s->session, c->name);
	int rc;

	if (s->open[i] != NULL && repository_recheck(s->open[i], err) == 0)
		return 0;
	close_repository(s, i);
	if (s->session != NULL && known == NULL && !s->options->lives_on) {
		err_set(err, ERR_CONFIG, 0, "repository '%s' was not there when this recovery was planned", c->name);
		return err_hint(err, "restore again, or leave it out by --without-repository %s in restore_command", c->name);
	}
	rc = op_open_repository(s->op, c, known != NULL ? known->id : NULL, &s->open[i], err);
	if (rc == 0 && repository_lineage(s->open[i], s->sysid) == NULL)
		rc = err_set(err, ERR_CONFIG, 0, "repository '%s' knows no cluster with system identifier %llu", c->name,
		    (unsigned long long)s->sysid);
	if (rc < 0)
		close_repository(s, i);
	return rc;
}

int
fetch_find(struct fetch_query *q, size_t i, struct stored **out, struct err *err)
{
	struct fetch_source *s = q->source;
	char relative[OBJECT_NAME_MAX];
	int rc = open_repository(s, i, err);

	if (rc == 0)
		rc = layout_wal(relative, s->sysid, &q->name, err);
	return rc < 0 ? rc : stored_open(out, s->open[i], relative, wal_object_kind(&q->name), err);
}

/* A segment that is missing here: because it was given up? 0 when that is answered. */
static int
look_for_gap(struct fetch_query *q, struct repository *r, struct err *err)
{
	GAP_SET_AUTO struct gap_set set = {0};
	int rc;

	if (q->name.kind != WAL_NAME_SEGMENT)
		return 0;
	rc = gap_set_read(&set, r, q->source->sysid, &q->name, err);
	if (rc == 0 && set.n == 0) /* a directory that was unmounted meanwhile looks empty */
		rc = repository_confirm(r, err);
	if (rc == 0 && set.n > 0) {
		q->given_up = true;
		q->gap = set.list[0];
	}
	return rc;
}

static int
deliver(struct fetch_query *q, struct stored *s, struct err *err)
{
	uint64_t size;
	int rc = wal_object_content_id(s->clear, q->content_id, err);

	if (rc == 0)
		rc = stored_unlock(s, q->source->ring, err);
	if (rc == 0)
		rc = json_get_u64(s->clear, "size", 1, UINT64_C(1) << 30, &size, err);
	if (rc == 0 && size != s->index->lengths.plain)
		rc = err_set(err, ERR_CORRUPT, 0, "object '%s' holds other than the %llu bytes that it names", s->key,
		    (unsigned long long)size);
	if (rc == 0)
		rc = q->deliver(s, size, q->arg, err);
	if (rc == ERR_NOT_FOUND) { /* it was there a moment ago: whatever this is, it proves nothing */
		rc = ERR_IO;
		err->kind = rc;
	}
	return rc;
}

bool
fetch_is_silence(int kind)
{
	return kind != ERR_CORRUPT && kind != ERR_AUTH && kind != ERR_CONFIG && kind != ERR_CONFLICT && kind != ERR_REFUSED;
}

/*
 * What a failure says of the file. What could not be opened as the repository that was expected has said nothing, whatever lies
 * in its place. A history that is there makes its timeline a taken one, also where reading it fails.
 */
static int
judge(struct fetch_query *q, size_t i, bool found, struct err *err)
{
	struct repository *r = q->source->open[i];
	char relative[OBJECT_NAME_MAX];
	struct store_stat unused;

	if (r == NULL && !fetch_is_silence(err->kind))
		err->kind = ERR_IO;
	if (r == NULL || q->name.kind != WAL_NAME_HISTORY || !fetch_is_silence(err->kind))
		return err->kind;
	if (!found)
		found = layout_wal(relative, q->source->sysid, &q->name, NULL) == 0 &&
			repository_stat(r, relative, &unused, NULL) == 0;
	if (found) {
		err->kind = ERR_REFUSED;
		err_wrap(err, "the timeline is taken, and its history cannot be had");
	}
	return err->kind;
}

static int
ask(struct fetch_query *q, size_t i, struct err *err)
{
	STORED_AUTO struct stored *s = NULL;
	struct err why;
	int rc = fetch_find(q, i, &s, err);

	if (rc == ERR_NOT_FOUND) {
		int gap = look_for_gap(q, q->source->open[i], &why);

		if (gap < 0)
			*err = why;
		return gap < 0 ? gap : rc;
	}
	if (rc == 0)
		rc = deliver(q, s, err);
	return rc < 0 ? judge(q, i, s != NULL, err) : 0;
}

/*
 * Which of two troubles decides. A segment may still come from where only silence was heard; of a history, one word that it is
 * there outweighs any silence. Where time may mend it all, it is tried again.
 */
static int
weight(const struct fetch_query *q, int kind)
{
	if (!fetch_is_silence(kind))
		return q->name.kind == WAL_NAME_HISTORY ? 3 : 0;
	return kind == ERR_RETRY ? 1 : 2;
}

static void
doubt(struct fetch_query *q, struct err *one)
{
	struct err other = q->doubt;

	if (other.kind == 0 || weight(q, one->kind) > weight(q, other.kind)) {
		q->doubt = *one;
		*one = other;
	}
	if (one->kind != 0)
		log_err(q->source->op->log, LOG_WARN, one);
}

/* A repository that does not answer is never a miss; the hint says how to go on without it. */
static void
explain(const struct fetch_source *s, const struct config_repository *c, struct err *err)
{
	const struct session_repository *known = session_repository(s->session, c->name);

	if (err->kind == ERR_CORRUPT || err->kind == ERR_AUTH) { /* it did answer */
		err_hint(err, "pgcairn verify names what is damaged");
		return;
	}
	err->hint[0] = '\0';
	err_hint(err, "if the repository is gone for good: add --without-repository %s to restore_command%s%s", c->name,
	    known != NULL && known->newest[0] != '\0' ? "; it was known to hold WAL up to " : "",
	    known != NULL ? known->newest : "");
}

static int
refuse_gap(const struct fetch_query *q, struct err *err)
{
	char why[DECISION_TEXT];

	decision_describe(&q->gap.decision, why);
	err_set(err, ERR_REFUSED, 0, "no repository has it, and it is a recorded gap %s", why);
	return err_hint(err,
	    "recovery cannot cross it: take a target before it or a backup behind it (pgcairn info); a good copy "
	    "that is archived under the name closes the gap");
}

int
fetch_ask(struct fetch_query *q, struct err *err)
{
	struct fetch_source *s = q->source;
	const struct config *cfg = s->op->config;
	struct err one;

	q->doubt.kind = 0;
	for (size_t i = 0; i < cfg->n_repositories; i++) {
		bool selected;
		int rc = fetch_selected(s->op, &cfg->repositories[i], s->options, &selected, err);

		if (rc < 0)
			return rc;
		if (!selected)
			continue;
		rc = ask(q, i, &one);
		if (rc == 0) {
			q->from = i;
			return 0;
		}
		if (rc == ERR_NOT_FOUND)
			continue;
		close_repository(s, i);
		explain(s, &cfg->repositories[i], &one);
		doubt(q, &one);
	}
	if (q->doubt.kind != 0) {
		*err = q->doubt;
		return err->kind;
	}
	return q->given_up ? refuse_gap(q, err) : err_set(err, ERR_NOT_FOUND, 0, "no repository has it");
}
