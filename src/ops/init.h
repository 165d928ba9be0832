/*
 * init: repositories, the cluster's folder in them, and this host's keys. Safe to repeat: what is there is checked and left.
 *
 * A new cluster gets an identity, recipients, a comparison key and this host's signing key where the configured files do not
 * exist. Where the cluster exists in a repository no identity is ever made: with join, this host gets a signing key of its own
 * and the recorded recipients and signers; the comparison key has to be brought.
 */
#ifndef PGCAIRN_OPS_INIT_H
#define PGCAIRN_OPS_INIT_H

#include "ops/op.h"

#define INIT_FILES 8

struct init_options {
	bool join;
	bool dry_run;
};

struct init_repository {
	char name[LAYOUT_LABEL_MAX];
	char id[REPOSITORY_ID_TEXT]; /* "" in a dry run that would make it */
	bool created, founded;       /* marker, cluster's folder: made now */
	bool same_device;            /* shares PGDATA's file system */
	struct store_caps caps;
};

struct init_result {
	const char *made[INIT_FILES]; /* paths of key files made now; borrowed from the configuration */
	size_t n_made;
	bool identity_made;
	bool encrypted;
	bool needs_enrolment;  /* join: another host has to enrol this signer */
	char signer[KEY_TEXT]; /* this host's public signing key */
	struct init_repository *repositories;
	size_t n_repositories;
};

int init_run(const struct op *op, const struct init_options *o, struct init_result *result, struct err *err);
void init_result_free(struct init_result *r);

#endif
