/*
 * verify: reads what lies in the repositories and says what is wrong with it. A damaged object does not stop the rest.
 *
 * Without an identity: names, structure, signatures, digests of all stored bytes, the packs and keys that are needed, the joins
 * of the WAL and each backup's WAL from start to stop. With an identity that opens the keys also the content: plain bytes
 * against their content id, WAL record by record, manifests line by line, every file of a backup against its checksum.
 *
 * A subset reads the contents of those objects whose hash of the name modulo n is t-1, the same ones in every repository and at
 * every run; names, structure, signatures and relations are looked at in full all the same.
 */
#ifndef PGCAIRN_OPS_VERIFY_H
#define PGCAIRN_OPS_VERIFY_H

#include "ops/op.h"

#define VERIFY_FINDINGS_MAX 100000

struct verify_options {
	uint64_t part, parts; /* parts 0: everything; else part is within 1..parts */
	const char *label;    /* this backup and its WAL alone; NULL: all */
	struct op_progress progress;
};

struct verify_finding {
	size_t place; /* of the repository in the configuration */
	char repository[LAYOUT_LABEL_MAX];
	char object[STORE_KEY_MAX]; /* relative name; "" for the repository itself */
	const char *kind;           /* a word: damaged, missing, pin, join, gap, ... */
	const char *remedy;
	bool note;                       /* nothing is lost */
	char whole_in[LAYOUT_LABEL_MAX]; /* a repository that has the object with nothing wrong found; "" when there is none */
	char what[1024];
};

struct verify_result {
	struct verify_finding *list; /* by repository and object */
	size_t n;
	size_t n_wrong;   /* of those, not notes */
	size_t opened;    /* repositories */
	uint64_t objects; /* looked at */
	uint64_t read;    /* of those, with their contents */
	uint64_t bytes;   /* stored bytes of those */
	uint64_t decrypted;
	uint64_t unverified;        /* segments of WAL that were stored without being looked into */
	uint64_t files, file_bytes; /* of backups, compared with their checksums */
	int64_t elapsed_ms;
	bool identity;              /* contents were opened */
	char without_identity[256]; /* else: why not */
};

/* An error means that the work could not be done; what was found wrong is no error. */
int verify_run(const struct op *op, const struct verify_options *o, struct verify_result *result, struct err *err);
void verify_result_free(struct verify_result *r);

#endif
