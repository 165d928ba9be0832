/*
 * One opened repository, as one cluster sees it: its store, its marker, and the signed records that say which cluster this is,
 * who may read and who may write.
 *
 * Trust: signers/0000 signs itself and is believed when its key is pinned (the configuration's signers-file); without a pin it
 * is believed on first use. Every later record must be signed by a signer enrolled before it. What a reader demands of an
 * object (encryption, signer, name) comes from here, never from the object.
 */
#ifndef PGCAIRN_REPO_REPOSITORY_H
#define PGCAIRN_REPO_REPOSITORY_H

#include "base/json.h"
#include "codec/object_reader.h"
#include "codec/object_writer.h"
#include "keys/epoch.h"
#include "keys/sign.h"
#include "repo/layout.h"
#include "store/guard.h"

#define REPOSITORY_ID_TEXT 33 /* 16 random bytes in hex */
#define SIGNERS_MAX 256
#define LINEAGE_MAX 64

struct lineage_entry {
	uint64_t sysid;
	uint32_t segment_size;
	unsigned major;
};

struct repository {
	char name[LAYOUT_LABEL_MAX]; /* in the configuration; for messages */
	char cluster_name[LAYOUT_LABEL_MAX];
	char id[REPOSITORY_ID_TEXT];
	struct store *store; /* owned */
	uint8_t cluster[OBJECT_CLUSTER];
	bool has_cluster; /* the cluster's folder was initialised; all below is empty when not */
	bool encrypted;   /* what the signed records demand of WAL, packs and manifests */
	bool pinned;      /* the first signer is the one the configuration names */
	uint8_t comparison_check[OBJECT_DIGEST];
	struct lineage_entry lineage[LINEAGE_MAX];
	size_t n_lineage;
	uint8_t signers[SIGNERS_MAX][KEY_BYTES];
	char signer_names[SIGNERS_MAX][64];
	size_t n_signers, n_signer_records;
	struct recipients recipients;
};

struct repository_options {
	const char *name, *url, *cluster_name;
	const char *expected_id;          /* NULL: whatever is there */
	const uint8_t (*pins)[KEY_BYTES]; /* trusted first signers; n_pins 0: trust on first use */
	size_t n_pins;
	struct guard *guard; /* of its store; NULL: none. Outlives the repository */
};

/*
 * Open and check: marker, lineage, recipients, signers. ERR_IO when there is no marker (an empty directory is never an
 * empty repository) or another repository's; ERR_AUTH when the first signer is not pinned. A cluster folder without lineage is
 * not an error: has_cluster is false.
 */
int repository_open(struct repository **out, const struct repository_options *o, struct err *err);
void repository_free(struct repository *r);

static inline void
scope_repository(struct repository **r)
{
	repository_free(*r);
}
#define REPOSITORY_AUTO SCOPE(scope_repository)

/* Make the marker in an empty place. ERR_EXISTS when there is one; ERR_REFUSED when other things lie there. */
int repository_create(const char *url, char id[REPOSITORY_ID_TEXT], struct err *err);

/* After a miss: is this, over the same handle, still the repository that was opened? 0, or an error that is not ERR_NOT_FOUND.
 */
int repository_confirm(struct repository *r, struct err *err);

/* Of one that was held for a while: would opening it now find the same one? 0, or an error that is not ERR_NOT_FOUND. */
int repository_recheck(struct repository *r, struct err *err);

/* An exact-name miss that was confirmed gives ERR_NOT_FOUND; everything doubtful is another error. */
int repository_stat(struct repository *r, const char *relative, struct store_stat *out, struct err *err);

/* Make an object that is visible durable as well: its writer may have died in between. */
int repository_settle(struct repository *r, const char *relative, struct err *err);

bool repository_knows_signer(const struct repository *r, const uint8_t key[KEY_BYTES]);
const struct lineage_entry *repository_lineage(const struct repository *r, uint64_t sysid); /* NULL: not of this cluster */

/* A signed object without cipher: rows is its plain bytes (NULL: none), clear its clear part. ERR_EXISTS when the name is
 * taken. */
int repository_put_plain(struct repository *r, const char *relative, const struct object_header *kind_and_codec,
    const struct buf *rows, const json_t *clear, const struct signing_key *signer, struct err *err);

/* Write a signed record: an object without frames. ERR_EXISTS when the name is taken. */
int repository_put_record(struct repository *r, const char *relative, uint8_t kind, const json_t *clear,
    const struct signing_key *signer, struct err *err);

/* The records that make a cluster's folder: lineage, recipients, signers; written in that order, the signers last. */
struct cluster_founding {
	uint8_t cluster[OBJECT_CLUSTER];
	bool known; /* the cluster is in other repositories under this id; else a founding that was begun may have another */
	struct lineage_entry lineage;
	const struct recipients *recipients; /* NULL: not encrypted */
	const uint8_t *comparison_key;
	const struct signing_key *signer;
	const char *signer_name;
};
/* r->cluster is the id then. ERR_REFUSED when another founding was begun there and not completed. */
int repository_found_cluster(struct repository *r, const struct cluster_founding *f, struct err *err);

/* Make the marker and the cluster's records durable: whoever wrote them may have been killed before they were. */
int repository_settle_records(struct repository *r, struct err *err);

/* Enrol another signer, signed by one that is enrolled. */
int repository_enrol_signer(
    struct repository *r, const uint8_t key[KEY_BYTES], const char *name, const struct signing_key *by, struct err *err);

/*
 * Another system of the cluster, after a pg_upgrade: lineage record number, which is the number of those that are there.
 * ERR_EXISTS when another host was faster.
 */
struct decision;
int repository_append_lineage(struct repository *r, unsigned number, const struct lineage_entry *e, const struct decision *d,
    const struct signing_key *by, struct err *err);

/* Proof that two hosts have the same comparison key, without showing it. */
void comparison_check(uint8_t out[OBJECT_DIGEST], const uint8_t key[COMPARISON_KEY]);

#endif
