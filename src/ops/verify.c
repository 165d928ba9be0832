/* Drives verify: repository after repository, its objects on the pool's threads, then what belongs together. */
#include "ops/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/str.h"
#include "ops/verify_work.h"

#define OBJECTS_MAX ((size_t)50000000)
#define REMEDY_DAMAGED "copy the object from a repository that has it whole; a new backup starts over: pgcairn backup --full"

static void
add_finding(struct verify_work *w, const struct verify_finding *f)
{
	struct verify_result *r = w->result;

	pthread_mutex_lock(&w->lock);
	if (r->n < VERIFY_FINDINGS_MAX) {
		struct verify_finding *more = r->list;

		if ((r->n & (r->n - 1)) == 0)
			more = realloc(r->list, (r->n == 0 ? 1 : 2 * r->n) * sizeof(*more));
		if (more != NULL) {
			r->list = more;
			more[r->n++] = *f;
		}
	}
	if (!f->note) /* counted even where there is no memory to keep it */
		r->n_wrong++;
	pthread_mutex_unlock(&w->lock);
}

static void __attribute__((format(printf, 6, 0)))
find(struct verify_work *w, bool note, const char *object, const char *kind, const char *remedy, const char *fmt, va_list ap)
{
	struct verify_finding f = {.place = w->place, .kind = kind, .remedy = remedy, .note = note};

	(void)snprintf(f.repository, sizeof(f.repository), "%s", w->op->config->repositories[w->place].name);
	(void)snprintf(f.object, sizeof(f.object), "%s", object);
	(void)vsnprintf(f.what, sizeof(f.what), fmt, ap);
	add_finding(w, &f);
}

void
verify_find(struct verify_work *w, const char *object, const char *kind, const char *remedy, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	find(w, false, object, kind, remedy, fmt, ap);
	va_end(ap);
}

void
verify_note(struct verify_work *w, const char *object, const char *kind, const char *remedy, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	find(w, true, object, kind, remedy, fmt, ap);
	va_end(ap);
}

void
verify_find_err(struct verify_work *w, const char *object, const struct err *err)
{
	switch (err->kind) {
	case ERR_CORRUPT:
		verify_find(w, object, "damaged", REMEDY_DAMAGED, "%s", err->msg);
		return;
	case ERR_AUTH:
		if (err->sys != 0) /* the system's permission, not ours */
			break;
		verify_find(w, object, "trust", "find out who wrote it; it is not used", "%s", err->msg);
		return;
	case ERR_CONFIG:
		verify_find(w, object, "version", "use a newer pgcairn", "%s", err->msg);
		return;
	default:
		break;
	}
	verify_find(w, object, "unreadable", "look after the storage, then verify again", "%s", err->msg);
}

bool
verify_is_found(struct verify_work *w, const char *object)
{
	bool found = false;

	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->result->n && !found; i++) {
		const struct verify_finding *f = &w->result->list[i];

		found = !f->note && f->place == w->place && strcmp(f->object, object) == 0;
	}
	pthread_mutex_unlock(&w->lock);
	return found;
}

void
verify_find_late(struct verify_work *w, const char *object, const struct err *err)
{
	if (err->kind != ERR_NOT_FOUND && !verify_is_found(w, object))
		verify_find_err(w, object, err);
}

static int
compare_name(const void *key, const void *object)
{
	return strcmp(key, ((const struct verify_object *)object)->relative);
}

bool
verify_listed(const struct verify_work *w, const char *relative)
{
	return w->n > 0 && bsearch(relative, w->objects, w->n, sizeof(*w->objects), compare_name) != NULL;
}

bool
verify_in_subset(const struct verify_work *w, const char *relative)
{
	const struct verify_options *o = w->options;

	return o->parts == 0 || XXH3_64bits(relative, strlen(relative)) % o->parts == o->part - 1;
}

bool
verify_selected(const struct verify_work *w, const struct verify_name *name)
{
	const struct manifest_head *h = w->only;
	uint64_t segno;

	if (w->options->label == NULL)
		return true;
	if (name->class == VERIFY_RECORD || name->class == VERIFY_KEY)
		return true;
	if (name->class == VERIFY_PACK || name->class == VERIFY_MANIFEST)
		return strcmp(name->label, w->options->label) == 0;
	if (h == NULL || name->class != VERIFY_SEGMENT || name->sysid != h->sysid)
		return false;
	segno = wal_name_segno(&name->wal, h->segment_size);
	return name->wal.timeline >= h->start_timeline && name->wal.timeline <= h->stop_timeline &&
	       segno >= h->start_lsn / h->segment_size && segno <= (h->stop_lsn - 1) / h->segment_size;
}

static int
take_key(const struct store_entry *e, void *arg, struct err *err)
{
	struct verify_work *w = arg;
	struct verify_object o = {.size = e->stat.size};

	if (w->n == OBJECTS_MAX)
		return err_set(err, ERR_CONFIG, 0, "more than %zu objects", OBJECTS_MAX);
	if (w->n == w->cap) {
		size_t cap = w->cap == 0 ? 1024 : 2 * w->cap;
		struct verify_object *more = realloc(w->objects, cap * sizeof(*more));

		if (more == NULL)
			return err_set(err, ERR_NOMEM, 0, "out of memory for %zu objects", cap);
		w->objects = more;
		w->cap = cap;
	}
	o.relative = strdup(e->key + strlen("clusters/") + strlen(w->repo->cluster_name) + 1);
	if (o.relative == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a name");
	w->objects[w->n++] = o;
	return 0;
}

struct job {
	struct worker_job base;
	struct verify_work *work;
	struct verify_object *object;
	const struct backup_entry *backup;
};

static void
run_job(struct worker_job *base)
{
	struct job *j = (struct job *)base;

	if (j->object != NULL)
		verify_object(j->work, j->object);
	else
		verify_backup_files(j->work, j->backup);
}

static void
report_progress(struct verify_work *w, uint64_t more)
{
	const struct op_progress *p = &w->options->progress;

	pthread_mutex_lock(&w->lock);
	w->done += more;
	more = w->done;
	pthread_mutex_unlock(&w->lock);
	if (p->update != NULL)
		p->update(p->arg, more, w->total);
}

/* Give n jobs to the pool, a few at a time, so that memory does not grow with the repository. */
static int
run_all(struct verify_work *w, size_t n, void (*fill)(struct verify_work *w, struct job *j, size_t i), struct err *err)
{
	size_t ahead = w->op->pool != NULL ? 2 * (size_t)worker_pool_threads(w->op->pool) : 1;
	FREE_AUTO struct job *jobs = calloc(ahead, sizeof(*jobs));

	if (jobs == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for jobs");
	for (size_t i = 0; i < n + ahead; i++) {
		struct job *j = &jobs[i % ahead];

		if (i >= ahead && i - ahead < n) {
			worker_wait(w->op->pool, &j->base);
			report_progress(w, j->object != NULL ? j->object->size : 0);
		}
		if (i >= n)
			continue;
		*j = (struct job){.base.run = run_job, .work = w};
		fill(w, j, i);
		worker_submit(w->op->pool, &j->base);
	}
	return 0;
}

static void
fill_object(struct verify_work *w, struct job *j, size_t i)
{
	j->object = &w->objects[i];
}

static void
fill_backup(struct verify_work *w, struct job *j, size_t i)
{
	j->backup = &w->backups.list[i];
}

/* Whole backups that were asked for come to the front: those are the ones whose files and packs are looked at. */
static size_t
choose_backups(struct verify_work *w, bool with_contents)
{
	size_t n = 0;

	for (size_t i = 0; i < w->backups.n; i++) {
		struct backup_entry *e = &w->backups.list[i], swap = *e;
		char name[OBJECT_NAME_MAX];

		if (e->damaged || (w->options->label != NULL && strcmp(e->label, w->options->label) != 0) ||
		    layout_manifest(name, e->label, e->generation, NULL) < 0 || (with_contents && !verify_in_subset(w, name)))
			continue;
		*e = w->backups.list[n];
		w->backups.list[n++] = swap;
	}
	return n;
}

/* A manifest that could not be read when the backups were listed, and then could: nothing else looks at its backup. */
static void
find_unread_backups(struct verify_work *w)
{
	for (size_t i = 0; i < w->backups.n; i++) {
		const struct backup_entry *e = &w->backups.list[i];
		char name[OBJECT_NAME_MAX];

		if (e->damaged && (w->options->label == NULL || strcmp(e->label, w->options->label) == 0) &&
		    layout_manifest(name, e->label, e->generation, NULL) == 0 && !verify_is_found(w, name))
			verify_find_err(w, name, &e->err);
	}
}

static int
verify_repository(struct verify_work *w, struct err *err)
{
	char prefix[STORE_KEY_MAX];
	size_t n_backups;
	int rc = layout_key(prefix, w->repo->cluster_name, "", err);

	if (rc == 0)
		rc = store_list(w->repo->store, prefix, take_key, w, err);
	if (rc == 0)
		rc = backup_set_read(&w->backups, w->repo, err);
	if (rc < 0)
		return rc;
	n_backups = choose_backups(w, false);
	if (w->options->label != NULL && n_backups > 0)
		w->only = &w->backups.list[0].head;
	for (size_t i = 0; i < w->n; i++)
		w->total += w->objects[i].size;
	for (size_t i = 0; (w->ring != NULL || !w->repo->encrypted) && i < n_backups; i++)
		w->total += w->backups.list[i].head.size;
	rc = run_all(w, w->n, fill_object, err);
	if (rc == 0)
		find_unread_backups(w);
	for (size_t i = 0; rc == 0 && i < n_backups; i++)
		verify_backup_packs(w, &w->backups.list[i]);
	if (rc == 0) {
		verify_orphans(w);
		rc = verify_wal(w, err);
	}
	if (rc == 0 && (w->ring != NULL || !w->repo->encrypted))
		rc = run_all(w, choose_backups(w, true), fill_backup, err);
	if (rc == 0)
		rc = repository_confirm(w->repo, err);
	return rc;
}

static void
work_free(struct verify_work *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->objects[i].relative);
	free(w->objects);
	free(w->missing_keys);
	backup_set_free(&w->backups);
	repository_free(w->repo);
	pthread_mutex_destroy(&w->lock);
}

/* What was found in a repository that vanished meanwhile says nothing about it. */
static void
forget_findings(struct verify_result *r, size_t n, size_t n_wrong)
{
	r->n = n;
	r->n_wrong = n_wrong;
}

/* One repository; what keeps it from being read is a finding, and *err keeps the last. */
static int
take_repository(struct verify_work *w, const struct identity *identity, struct keyring *ring, struct err *err)
{
	size_t n = w->result->n, n_wrong = w->result->n_wrong;
	bool fits = false;
	int rc = op_open_repository(w->op, &w->op->config->repositories[w->place], NULL, &w->repo, err);

	if (rc == 0 && !w->repo->has_cluster) {
		err_set(err, ERR_CONFIG, 0, "repository '%s' does not know this cluster", w->repo->name);
		rc = err_hint(err, "run: pgcairn init");
	}
	for (size_t i = 0; rc == 0 && identity != NULL && i < identity_count(identity); i++) {
		uint8_t public[KEY_BYTES];

		identity_recipient(identity, i, public);
		fits |= recipients_contains(&w->repo->recipients, public);
	}
	if (fits) {
		w->ring = ring;
		w->result->identity = true;
	} else if (rc == 0 && identity != NULL) {
		(void)snprintf(w->result->without_identity, sizeof(w->result->without_identity),
		    "the identity is not among the recipients of repository '%s'", w->repo->name);
	}
	if (rc == 0)
		rc = verify_repository(w, err);
	if (rc == 0) {
		w->result->opened++;
		return 0;
	}
	if (rc == ERR_NOMEM)
		return rc;
	forget_findings(w->result, n, n_wrong);
	w->unread = true;
	if (rc == ERR_CORRUPT || rc == ERR_AUTH) {
		verify_find_err(w, "", err);
		w->result->opened++;
		return 0;
	}
	verify_find(w, "", "unreachable", "make it reachable, or set state = lost when it is gone for good", "%s", err->msg);
	return 0;
}

/* What opens and compares contents, as far as this host has it. */
struct means {
	struct identity *identity; /* public halves alone are asked of it; the ring has another copy */
	struct keyring *ring;
	struct secret *comparison;
};

static int
gather_means(const struct op *op, struct means *m, struct verify_result *r, struct err *err)
{
	struct err why = {0};
	int rc = identity_read_file(&m->identity, op->config->identity, &why);

	if (rc == 0)
		rc = op_open_keyring(op, &m->ring, &why);
	if (rc < 0) {
		identity_free(m->identity);
		m->identity = NULL;
		(void)snprintf(r->without_identity, sizeof(r->without_identity), "%.250s", why.msg);
	}
	m->comparison = secret_new();
	if (m->comparison == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a key");
	rc = key_file_read(op->config->comparison_key, KEY_TYPE_COMPARISON, true, m->comparison->bytes, &why);
	if (rc < 0) {
		if (rc != ERR_NOT_FOUND) { /* a host that only reads has none */
			err_wrap(&why, "contents are not compared with their content ids");
			log_err(op->log, LOG_WARN, &why);
		}
		secret_free(m->comparison);
		m->comparison = NULL;
	}
	return 0;
}

/* Does the label stand in a repository at all? */
static bool
knows_label(const struct verify_work *w, const char *label)
{
	for (size_t i = 0; i < w->backups.n; i++)
		if (strcmp(w->backups.list[i].label, label) == 0)
			return true;
	return false;
}

static int
run_repositories(struct verify_work *works, const struct means *m, struct err *err)
{
	const struct op *op = works[0].op;
	const char *label = works[0].options->label;
	struct err last = {.kind = ERR_CONFIG, .msg = "no active repository is configured"};
	bool known = label == NULL;

	for (size_t i = 0; i < op->config->n_repositories; i++) {
		if (op->config->repositories[i].state == CONFIG_REPOSITORY_LOST)
			continue;
		if (take_repository(&works[i], m->identity, m->ring, &last) < 0) {
			*err = last;
			return last.kind;
		}
		known = known || knows_label(&works[i], label);
	}
	if (works[0].result->opened == 0) {
		*err = last;
		return last.kind;
	}
	if (known)
		return 0;
	err_set(err, ERR_CONFIG, 0, "no repository has a backup '%s'", label);
	return err_hint(err, "pgcairn info lists what there is");
}

static int
run(const struct op *op, const struct verify_options *o, const struct means *m, struct verify_result *r, struct err *err)
{
	size_t n = op->config->n_repositories;
	FREE_AUTO struct verify_work *works = calloc(n + 1, sizeof(*works));
	int rc;

	if (works == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for repositories");
	for (size_t i = 0; i < n; i++) {
		works[i] = (struct verify_work){.op = op, .options = o, .place = i, .comparison = m->comparison, .result = r};
		pthread_mutex_init(&works[i].lock, NULL);
	}
	rc = run_repositories(works, m, err);
	if (rc == 0)
		verify_compare(works, n, r);
	for (size_t i = 0; i < n; i++)
		work_free(&works[i]);
	return rc;
}

int
verify_run(const struct op *op, const struct verify_options *o, struct verify_result *result, struct err *err)
{
	int64_t began = clock_monotonic_ms();
	struct verify_result r = {0};
	struct means m = {0};
	int rc = gather_means(op, &m, &r, err);

	if (rc == 0)
		rc = run(op, o, &m, &r, err);
	keyring_free(m.ring);
	identity_free(m.identity);
	secret_free(m.comparison);
	if (rc < 0) {
		verify_result_free(&r);
		return rc;
	}
	r.elapsed_ms = clock_monotonic_ms() - began;
	*result = r;
	return 0;
}

void
verify_result_free(struct verify_result *r)
{
	free(r->list);
	*r = (struct verify_result){0};
}
