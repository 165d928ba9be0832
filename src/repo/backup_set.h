/*
 * Which backups a repository has: each label below backup/ that has a manifest, by the clear part of its newest generation.
 * No key is needed. Packs without a manifest are no backup: a run that broke off left them.
 *
 * Order: by system identifier in the order of the cluster's lineage, then where the backup stops, then timeline. Labels and
 * clocks do not count.
 */
#ifndef PGCAIRN_REPO_BACKUP_SET_H
#define PGCAIRN_REPO_BACKUP_SET_H

#include "repo/manifest.h"

#define BACKUPS_MAX 100000

struct backup_entry {
	char label[LAYOUT_LABEL_MAX]; /* as in the object's name; set for a damaged one too */
	unsigned generation;
	struct manifest_head head;     /* zero when damaged */
	uint64_t stored;               /* bytes of the manifest and the packs that it names */
	uint8_t digest[OBJECT_DIGEST]; /* the manifest's */
	bool damaged;                  /* its manifest could not be read: err says why */
	struct err err;
};

struct backup_set {
	struct backup_entry *list; /* damaged ones are the last, by label */
	size_t n;
};

/* ERR when the repository cannot be listed; a damaged manifest is an entry. A cluster without backups has an empty set. */
int backup_set_read(struct backup_set *out, struct repository *r, struct err *err);
void backup_set_free(struct backup_set *set); /* all zero afterwards */

static inline void
scope_backup_set(struct backup_set *set)
{
	backup_set_free(set);
}
#define BACKUP_SET_AUTO SCOPE(scope_backup_set)

#endif
