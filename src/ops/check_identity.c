/*
 * The identity, which alone reads the backups: where it is, whether it fits, and whether losing one file would lose everything.
 */
#include <inttypes.h>

#include "base/clock.h"
#include "base/str.h"
#include "ops/check_work.h"
#include "ops/identity_copy.h"

#define REMEDY_COPY                                                                                                            \
	"keep a copy where neither this host nor a repository is, and prove it once: pgcairn check --identity-copy FILE"

/* The one with the fewest recipients: what is weakest counts. NULL when nothing is encrypted. */
static const struct repository *
weakest(const struct check *c)
{
	const struct repository *found = NULL;

	for (size_t i = 0; i < c->info.n; i++) {
		const struct info_repository *r = &c->info.repositories[i];

		if (r->state == INFO_OK && r->repo->encrypted && (found == NULL || r->repo->recipients.n < found->recipients.n))
			found = r->repo;
	}
	return found;
}

/* Since the first backup there is something to lose; -1: nothing yet. */
static int64_t
oldest_backup_s(const struct check *c)
{
	int64_t oldest = -1;

	for (size_t i = 0; i < c->info.n; i++) {
		const struct backup_set *set = &c->info.repositories[i].backups;

		for (size_t k = 0; k < set->n; k++) {
			int64_t age = (clock_now_us() - set->list[k].head.start_time_us) / 1000000;

			if (!set->list[k].damaged && age > oldest)
				oldest = age;
		}
	}
	return oldest;
}

static void
check_copy(struct check *c, const struct repository *r, bool here)
{
	const struct config *cfg = c->op->config;
	int64_t since = oldest_backup_s(c);
	struct identity_copy copy;
	char when[32];

	if (r->recipients.n > 1) {
		check_add(c, CHECK_OK, "identity-copy", "", NULL, "%zu keys open the backups, each alone", r->recipients.n);
		return;
	}
	if (identity_copy_read(c->op, &copy, NULL) == 0 && recipients_contains(&r->recipients, copy.recipient)) {
		clock_format_utc(when, sizeof(when), copy.time_us / 1000000 * 1000000);
		if ((clock_now_us() - copy.time_us) / 1000 <= cfg->identity_copy_max_age_ms)
			check_add(c, CHECK_OK, "identity-copy", "", NULL, "a copy of the identity was proved at %s", when);
		else
			check_add(c, CHECK_WARNING, "identity-copy", "", REMEDY_COPY,
			    "the copy of the identity, the only key that opens the backups, was last proved at %s", when);
		return;
	}
	/* a host that only writes should never see the identity: it cannot be asked to prove one */
	if (!here)
		check_add(c, CHECK_NOTE, "identity-copy", "", "on a host that has the identity: pgcairn check",
		    "one key alone opens the backups; whether a copy of it exists is not known here");
	else
		check_add(c, since >= 0 && since > cfg->identity_copy_within_ms / 1000 ? CHECK_WARNING : CHECK_NOTE,
		    "identity-copy", "", REMEDY_COPY,
		    "one key alone opens the backups, and no copy of it was proved: who loses it loses them all");
}

static bool
fits(const struct identity *id, const struct repository *r)
{
	for (size_t i = 0; i < identity_count(id); i++) {
		uint8_t key[KEY_BYTES];

		identity_recipient(id, i, key);
		if (recipients_contains(&r->recipients, key))
			return true;
	}
	return false;
}

void
check_identity(struct check *c)
{
	const struct repository *r = weakest(c);
	IDENTITY_AUTO struct identity *id = NULL;
	struct err why = {0};
	int rc = identity_read_file(&id, c->op->config->identity, &why);

	if (rc == 0 && r != NULL && !fits(id, r))
		check_add(c, CHECK_WARNING, "identity", "", "put the cluster's own identity there, or a copy of it",
		    "the identity on this host opens nothing in repository '%s'", r->name);
	else if (rc == 0)
		check_add(c, CHECK_NOTE, "identity", "", "keep it only where backups are read",
		    "the identity is on this host: who takes the host reads the backups");
	else if (rc == ERR_NOT_FOUND)
		check_add(c, CHECK_OK, "identity", "", NULL, "no identity on this host");
	else
		check_add_err(c, CHECK_NOTE, "identity", "", &why);
	if (r != NULL)
		check_copy(c, r, rc != ERR_NOT_FOUND);
}
