/*
 * The manifest makes a backup exist. Its clear part says what replicate, keyless verify and expire need: label, positions, the
 * packs with the digests that pin them. Its body (frames, encrypted) is one JSON object a line: what to make and from where,
 * in the order of the server's stream, so that both sides work with bounded memory:
 *
 *   {"tablespace":16401,"location":"/srv/ts"}
 *   {"dir":"base/1","mode":448}
 *   {"file":"base/1/1249","mode":384,"size":65536,"mtime":1767225600,"crc32c":123,"runs":[[0,0,1048576,65536]]}
 *   {"setting":"config_file","config":"/etc/postgresql/15/main/postgresql.conf", same members}      outside PGDATA
 *   {"bad_page":"base/1/1249","block":7}
 *   {"end":true,"dirs":27,"files":969,"configs":6,"tablespaces":1,"bad_pages":0}
 *
 * docs/repository-format.md describes every member. A run is [offset in the file, pack, plain offset in the pack, length]; runs
 * cover the file from 0 to size without a gap, in order. Paths are relative to PGDATA; files of tablespaces stand below
 * pg_tblspc/OID/. A path that is not UTF-8 stands in hex under "dir_hex", "file_hex" and so on. The server's backup_manifest is
 * a file of this name.
 */
#ifndef PGCAIRN_REPO_MANIFEST_H
#define PGCAIRN_REPO_MANIFEST_H

#include <sys/types.h>

#include "repo/stored.h"
#include "repo/writer.h"

#define MANIFEST_LINE_MAX ((size_t)16 << 20)
#define MANIFEST_PATH_MAX 1024
#define MANIFEST_SETTING_MAX 16

struct manifest_run {
	uint64_t file_offset;
	uint32_t pack;
	uint64_t pack_offset;
	uint64_t length;
};

enum manifest_kind { MANIFEST_TABLESPACE, MANIFEST_DIRECTORY, MANIFEST_FILE, MANIFEST_CONFIG, MANIFEST_BAD_PAGE };

struct manifest_entry {
	enum manifest_kind kind;
	char path[MANIFEST_PATH_MAX];       /* of a tablespace: its location; bytes, maybe not UTF-8 */
	char setting[MANIFEST_SETTING_MAX]; /* that named the file to the server: config_file, hba_file, ident_file; or "" */
	uint32_t tablespace;                /* oid */
	mode_t mode;
	uint64_t size;
	int64_t mtime_s;
	uint32_t crc32c; /* of the whole file, as PostgreSQL prints it in its manifest (final value) */
	uint32_t block;  /* of a bad page, absolute in its fork */
	struct manifest_run *runs;
	size_t n_runs;
};

/* What stands in the clear part. Positions of the WAL that makes the backup consistent, and the pins. */
struct manifest_pack {
	uint64_t plain, stored;
	uint8_t digest[OBJECT_DIGEST]; /* the pack's object digest */
};

struct manifest_head {
	char label[LAYOUT_LABEL_MAX];
	bool incremental;
	uint64_t sysid;
	unsigned major;
	int server_version; /* as server_version_num */
	uint32_t segment_size;
	bool data_checksums;
	timeline_t start_timeline, stop_timeline;
	lsn_t start_lsn, stop_lsn, checkpoint_lsn;
	bool from_standby;
	int64_t start_time_us, stop_time_us; /* this host's clock: for people and ages, never for order */
	uint64_t size;                       /* plain bytes of the files; what lies outside PGDATA is not counted */
	uint64_t files, bad_pages;           /* as the last line counts them */
	struct manifest_pack *packs;
	size_t n_packs;
};

void manifest_head_free(struct manifest_head *h); /* the packs */

int manifest_head_encode(const struct manifest_head *h, struct buf *clear, struct err *err);
int manifest_head_decode(struct manifest_head *h, const json_t *clear, struct err *err);

/* One line, newline included, appended to out. */
int manifest_entry_encode(const struct manifest_entry *e, struct buf *out, struct err *err);

/*
 * All entries in order. stored is the manifest, unlocked. each() borrows the entry. ERR_CORRUPT when a line is not so, a run
 * points outside its pack, runs leave a gap, the path is not plain, or the last line's counts are not what came before it.
 */
int manifest_read(struct stored *stored, const struct manifest_head *head, struct worker_pool *pool,
    int (*each)(const struct manifest_entry *e, void *arg, struct err *err), void *arg, struct err *err);

/* The same over bytes in pieces of any size, for whoever has no stored object. finish: ERR_CORRUPT unless the last line came.
 */
struct manifest_parser;
int manifest_parser_new(struct manifest_parser **out, const struct manifest_head *head,
    int (*each)(const struct manifest_entry *e, void *arg, struct err *err), void *arg, struct err *err);
int manifest_parser_feed(struct manifest_parser *p, const void *data, size_t len, struct err *err);
int manifest_parser_finish(struct manifest_parser *p, struct err *err);
void manifest_parser_free(struct manifest_parser *p); /* NULL is fine */

static inline void
scope_manifest_parser(struct manifest_parser **p)
{
	manifest_parser_free(*p);
}
#define MANIFEST_PARSER_AUTO SCOPE(scope_manifest_parser)

/* The last line. */
struct manifest_counts {
	uint64_t dirs, files, configs, tablespaces, bad_pages;
};
int manifest_end_encode(const struct manifest_counts *c, struct buf *out, struct err *err);

#endif
