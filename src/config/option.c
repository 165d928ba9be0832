/* The rows of the option table, and the way from a section and a key to a row. What a type means is in option_value.c. */
#include "config/option.h"

#include <string.h>

#include "base/scope.h"
#include "build-config.h"
#include "config/config.h"
#include "config/suggest.h"

#define SECOND INT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define YEARS_100 (36525 * DAY) /* sums of a time and a duration stay far from overflow */

#define IN_CONFIG(field) offsetof(struct config, field)
#define IN_CLUSTER(field) offsetof(struct config_cluster, field)
#define IN_REPOSITORY(field) offsetof(struct config_repository, field)

static const char *const level_words[] = {"error", "warning", "info", "debug", NULL};
static const char *const checkpoint_words[] = {"fast", "spread", NULL};
static const char *const compression_words[] = {"lz4", "zstd", NULL};
static const char *const encryption_words[] = {"on", "none", NULL};
static const char *const promote_words[] = {"refuse", "allow", NULL};
static const char *const state_words[] = {"active", "lost", NULL};

static const struct option rows[] = {
    {OPTION_PGCAIRN, "state-directory", OPTION_PATH, "/var/lib/pgcairn",
	"Spool, caches and this host's signing key; never needed to restore.", .offset = IN_CONFIG(state_directory)},
    {OPTION_PGCAIRN, "run-directory", OPTION_PATH, "/run/pgcairn", "Locks and the agent's socket.",
	.offset = IN_CONFIG(run_directory)},
    {OPTION_PGCAIRN, "log-level", OPTION_ENUM, "info", "The most talkative level that is written.",
	.offset = IN_CONFIG(log_level), .words = level_words},
    {OPTION_PGCAIRN, "threads", OPTION_INTEGER, "0",
	"Threads that compress and encrypt; 0: as many as there are processors, 16 at most.", .offset = IN_CONFIG(threads),
	.hi = 256},

    {OPTION_CLUSTER, "pgdata", OPTION_PATH, NULL, "The data directory; not needed where backups are only restored.",
	.offset = IN_CLUSTER(pgdata)},
    {OPTION_CLUSTER, "conninfo", OPTION_STRING, "", "How libpq reaches the server. Keep passwords in a password file.",
	.secret = true, .offset = IN_CLUSTER(conninfo)},
    {OPTION_CLUSTER, "primary-conninfo", OPTION_STRING, "",
	"How libpq reaches the primary where conninfo leads to a standby: a standby's backup closes its last segment there.",
	.secret = true, .offset = IN_CLUSTER(primary_conninfo)},
    {OPTION_CLUSTER, "checkpoint", OPTION_ENUM, "fast", "The checkpoint that a backup begins with.",
	.offset = IN_CLUSTER(checkpoint), .words = checkpoint_words},
    {OPTION_CLUSTER, "max-rate", OPTION_SIZE, "0", "Bytes a second that a backup may read; 0: no limit.",
	.offset = IN_CLUSTER(max_rate)},
    {OPTION_CLUSTER, "wal-compression", OPTION_ENUM, "lz4", "How WAL is compressed.", .offset = IN_CLUSTER(wal_compression),
	.words = compression_words},
    {OPTION_CLUSTER, "backup-compression", OPTION_ENUM, "zstd", "How base backups are compressed.",
	.offset = IN_CLUSTER(backup_compression), .words = compression_words},
    {OPTION_CLUSTER, "encryption", OPTION_ENUM, "on", "Whether new objects are encrypted to the recipients.",
	.offset = IN_CLUSTER(encryption), .words = encryption_words},

    {OPTION_REPOSITORY, "url", OPTION_STRING, NULL,
	"Where it is: file:///DIRECTORY; never inside or around a data directory or the state directory.", .required = true,
	.offset = IN_REPOSITORY(url), .lo = 1},
    {OPTION_REPOSITORY, "id", OPTION_STRING, NULL, "The repository's id: any other repository found there is refused.",
	.offset = IN_REPOSITORY(id), .lo = 1},
    {OPTION_REPOSITORY, "state", OPTION_ENUM, "active", "A lost repository is asked for nothing and given nothing.",
	.offset = IN_REPOSITORY(state), .words = state_words},

    {OPTION_KEYS, "recipients-file", OPTION_PATH, PGCAIRN_SYSCONFDIR "/pgcairn/recipients",
	"Public keys: what a writing host encrypts to.", .offset = IN_CONFIG(recipients_file)},
    {OPTION_KEYS, "comparison-key", OPTION_PATH, PGCAIRN_SYSCONFDIR "/pgcairn/comparison-key",
	"The file of the key that proves sameness and opens nothing; the same on every node.",
	.offset = IN_CONFIG(comparison_key)},
    {OPTION_KEYS, "identity", OPTION_PATH, PGCAIRN_SYSCONFDIR "/pgcairn/identity",
	"The private key, only where backups are read.", .offset = IN_CONFIG(identity)},
    {OPTION_KEYS, "signers-file", OPTION_PATH, PGCAIRN_SYSCONFDIR "/pgcairn/signers",
	"Public keys of the hosts that may write.", .offset = IN_CONFIG(signers_file)},
    {OPTION_KEYS, "signing-key", OPTION_PATH, OPTION_STATE_PREFIX "signing-key", "This host's own signing key.",
	.offset = IN_CONFIG(signing_key)},

    {OPTION_ARCHIVE, "acknowledge", OPTION_WORDS, NULL,
	"Repositories that must hold a segment before PostgreSQL hears that it is archived: all, a number, or names. "
	"Must be set when more than one is active.",
	.offset = IN_CONFIG(acknowledge_words)},
    {OPTION_ARCHIVE, "timeout", OPTION_DURATION, "60s", "Total time to archive one segment.",
	.offset = IN_CONFIG(archive_timeout_ms), .lo = SECOND, .hi = DAY},

    {OPTION_RESTORE, "timeout", OPTION_DURATION, "120s", "Total time to fetch one segment.",
	.offset = IN_CONFIG(restore_timeout_ms), .lo = SECOND, .hi = DAY},
    {OPTION_RESTORE, "prefetch", OPTION_SIZE, "256MB",
	"Room for segments that are fetched before recovery asks for them; 0, or less than one segment: none are.",
	.offset = IN_CONFIG(restore_prefetch)},
    {OPTION_RESTORE, "spool-directory", OPTION_PATH, OPTION_STATE_PREFIX "spool",
	"Where they wait: best on the file system of the data directory, but never in it.",
	.offset = IN_CONFIG(spool_directory)},
    {OPTION_RESTORE, "promote-without-archive", OPTION_ENUM, "refuse",
	"What a standby hears that asks for a timeline while a repository does not answer. refuse: its server stops. allow: it "
	"goes "
	"on, with an alarm, and a promotion may take a timeline that another server has taken, unless this host has seen that "
	"one.",
	.offset = IN_CONFIG(promote_without_archive), .words = promote_words},

    {OPTION_CHECK, "backup-max-age", OPTION_DURATION, "26h", "An older last backup is a finding.",
	.offset = IN_CONFIG(backup_max_age_ms), .lo = SECOND, .hi = YEARS_100},
    {OPTION_CHECK, "archive-max-age", OPTION_DURATION, "1h", "An older last archived segment is a finding.",
	.offset = IN_CONFIG(archive_max_age_ms), .lo = SECOND, .hi = YEARS_100},
    {OPTION_CHECK, "stuck-after", OPTION_DURATION, "5min",
	"A segment that waits longer while the server counts neither success nor failure of archive_command is a finding.",
	.offset = IN_CONFIG(stuck_after_ms), .lo = SECOND, .hi = YEARS_100},
    {OPTION_CHECK, "lag-max-age", OPTION_DURATION, "10min",
	"A repository that has lacked a closed segment for longer is a finding; critical after six times as long.",
	.offset = IN_CONFIG(lag_max_age_ms), .lo = SECOND, .hi = YEARS_100},
    {OPTION_CHECK, "pg-wal-full-in", OPTION_DURATION, "4h",
	"pg_wal that would be full sooner if archiving stood still is a finding; critical when it does stand still.",
	.offset = IN_CONFIG(pg_wal_full_in_ms), .lo = SECOND, .hi = YEARS_100},
    {OPTION_CHECK, "space-warning", OPTION_INTEGER, "10",
	"Per cent that must be free where pg_wal and repositories lie, else a warning.", .offset = IN_CONFIG(space_warning),
	.hi = 100},
    {OPTION_CHECK, "space-critical", OPTION_INTEGER, "3", "The same, else critical.", .offset = IN_CONFIG(space_critical),
	.hi = 100},
    {OPTION_CHECK, "identity-copy-within", OPTION_DURATION, "7d",
	"How long after the first backup a copy of the only identity may be unproved.",
	.offset = IN_CONFIG(identity_copy_within_ms), .lo = SECOND, .hi = YEARS_100},
    {OPTION_CHECK, "identity-copy-max-age", OPTION_DURATION, "400d", "How long the proof of a copy holds.",
	.offset = IN_CONFIG(identity_copy_max_age_ms), .lo = SECOND, .hi = YEARS_100},

    {OPTION_RETENTION, "window", OPTION_DURATION, NULL, "Any moment in it can be restored; without it nothing is ever deleted.",
	.offset = IN_CONFIG(retention_window_ms), .lo = SECOND, .hi = YEARS_100},
    {OPTION_RETENTION, "minimum", OPTION_INTEGER, NULL, "Verified backups that always stay.",
	.offset = IN_CONFIG(retention_minimum), .lo = 1, .hi = 10000},
};
_Static_assert(ARRAY_LEN(rows) <= OPTION_ROWS_MAX, "OPTION_ROWS_MAX is too small");

static const struct {
	const char *name;
	bool named;
	const char *doc;
} sections[OPTION_SECTIONS] = {
    [OPTION_PGCAIRN] = {"pgcairn", false, "This process."},
    [OPTION_CLUSTER] = {"cluster", true, "A PostgreSQL cluster; as many as there are."},
    [OPTION_REPOSITORY] = {"repository", true, "A place that holds backups and WAL; at least one."},
    [OPTION_KEYS] = {"keys", false, "The files of the keys."},
    [OPTION_ARCHIVE] = {"archive", false, "When a segment counts as archived."},
    [OPTION_RESTORE] = {"restore", false, "Fetching WAL for recovery."},
    [OPTION_CHECK] = {"check", false, "What `check` reports."},
    [OPTION_RETENTION] = {"retention", false, "What `expire` may delete."},
};

const struct option *
option_rows(size_t *n)
{
	*n = ARRAY_LEN(rows);
	return rows;
}

const char *
option_section_name(enum option_section section)
{
	return sections[section].name;
}

bool
option_section_is_named(enum option_section section)
{
	return sections[section].named;
}

bool
option_section_find(const char *name, enum option_section *out, const char **nearest)
{
	struct suggest s = suggest_for(name);

	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		if (strcmp(sections[i].name, name) == 0) {
			*out = (enum option_section)i;
			return true;
		}
		suggest_offer(&s, sections[i].name);
	}
	*nearest = suggest_best(&s);
	return false;
}

const struct option *
option_find(enum option_section section, const char *key, const char **nearest)
{
	struct suggest s = suggest_for(key);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].section != section)
			continue;
		if (strcmp(rows[i].key, key) == 0)
			return &rows[i];
		suggest_offer(&s, rows[i].key);
	}
	*nearest = suggest_best(&s);
	return NULL;
}

/* The words to choose from, or the name of the type. */
static int
document_type(const struct option *o, struct buf *out, struct err *err)
{
	static const char *const names[] = {"string", "path", "boolean", "size", "duration", "integer", "", "list of words"};
	int rc = 0;

	if (o->type != OPTION_ENUM)
		return buf_printf(out, err, "%s", names[o->type]);
	for (size_t i = 0; rc == 0 && o->words[i] != NULL; i++)
		rc = buf_printf(out, err, "%s%s", i > 0 ? ", " : "", o->words[i]);
	return rc;
}

static int
document_row(const struct option *o, struct buf *out, struct err *err)
{
	int rc = buf_printf(out, err, "| `%s` | ", o->key);

	if (rc == 0)
		rc = document_type(o, out, err);
	if (rc < 0)
		return rc;
	if (o->required)
		return buf_printf(out, err, " | required | %s |\n", o->doc);
	if (o->preset == NULL || o->preset[0] == '\0')
		return buf_printf(out, err, " | | %s |\n", o->doc);
	return buf_printf(out, err, " | `%s` | %s |\n", o->preset, o->doc);
}

int
option_document(struct buf *out, struct err *err)
{
	for (size_t s = 0; s < ARRAY_LEN(sections); s++) {
		int rc = buf_printf(out, err, "%s### [%s%s]\n\n%s\n\n| key | value | default | meaning |\n|---|---|---|---|\n",
		    s > 0 ? "\n" : "", sections[s].name, sections[s].named ? ":NAME" : "", sections[s].doc);

		for (size_t i = 0; rc == 0 && i < ARRAY_LEN(rows); i++)
			if (rows[i].section == (enum option_section)s)
				rc = document_row(&rows[i], out, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}
