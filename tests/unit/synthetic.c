#include "synthetic.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "memory.h"
#include "pg/crc32c.h"
#include "pg/wal_page.h"
#include "pg/wal_walker.h"
#include "repo/wal_object.h"

#define KEY_LASTS 1024
#define PAGE 8192
#define COMMIT 34 /* bytes: header, two of the data's header, the time */
#define POINT 98
#define MAGIC_15 0xD110

struct making {
	struct world *w;
	struct repository *repo;
	struct writer *writer;
	struct fanout *fanout;
	struct content_id *id;
	struct wal_summary *summary;
	uint8_t *segment;
	size_t filled; /* bytes of it that may not be zero */
	timeline_t timeline;
	struct epoch epoch;
	uint32_t other; /* added to transaction numbers */
};

static bool
has_point(uint64_t segno)
{
	return segno % SYNTHETIC_POINTS == 0;
}

static size_t
aligned(size_t n)
{
	return (n + 7) / 8 * 8;
}

/* How much of the record over its edge lies in such a segment: a header that is cut, a whole one, and more. */
static size_t
edge_part(uint64_t segno)
{
	return 16 + 8 * (segno / SYNTHETIC_EDGES % 3);
}

static bool
begins_with_rest(uint64_t segno)
{
	return segno > 0 && synthetic_has_edge(segno - 1);
}

lsn_t
synthetic_commit_lsn(uint64_t segno)
{
	size_t rest = begins_with_rest(segno) ? aligned(COMMIT - edge_part(segno - 1)) : 0;

	return wal_segment_start(segno, SYNTHETIC_SEGMENT) + WAL_PAGE_LONG + rest;
}

/* Behind what every segment holds: a switch, or what fills it up to the record over its edge. */
static lsn_t
last_lsn(uint64_t segno)
{
	return synthetic_commit_lsn(segno) + aligned(COMMIT) + (has_point(segno) ? aligned(POINT) : 0);
}

lsn_t
synthetic_edge_lsn(uint64_t segno)
{
	return wal_segment_start(segno + 1, SYNTHETIC_SEGMENT) - edge_part(segno);
}

/* Bytes of a record into the segment at *at, over its pages; how many there was room for. */
static size_t
put_bytes(struct making *m, uint64_t segno, size_t *at, const uint8_t *bytes, size_t len)
{
	size_t done = 0;

	while (done < len && *at < SYNTHETIC_SEGMENT) {
		size_t n = PAGE - *at % PAGE;

		if (*at % PAGE == 0) {
			uint8_t *p = m->segment + *at;

			le16_put(p, MAGIC_15);
			le16_put(p + 2, done > 0 ? WAL_PAGE_CONTRECORD : 0);
			le32_put(p + 4, m->timeline);
			le64_put(p + 8, wal_segment_start(segno, SYNTHETIC_SEGMENT) + *at);
			le32_put(p + 16, (uint32_t)(done > 0 ? len - done : 0));
			*at += WAL_PAGE_SHORT;
			n -= WAL_PAGE_SHORT;
		}
		n = n < len - done ? n : len - done;
		memcpy(m->segment + *at, bytes + done, n);
		*at += n;
		done += n;
	}
	return done;
}

/* A record in r, which has room for it: with this much data, behind a data header of this many bytes. */
static size_t
make_record(uint8_t *r, uint32_t xid, lsn_t prev, uint8_t rmid, uint8_t info, const void *data, size_t len)
{
	size_t head = len > UINT8_MAX ? 5 : 2, total = WAL_RECORD_HEADER + (len > 0 ? head + len : 0);

	memset(r, 0, total);
	le32_put(r, (uint32_t)total);
	le32_put(r + 4, xid);
	le64_put(r + 8, prev);
	r[16] = info;
	r[17] = rmid;
	if (len > 0) {
		r[WAL_RECORD_HEADER] = head == 5 ? 254 : 255;
		r[WAL_RECORD_HEADER + 1] = (uint8_t)len;
		if (head == 5)
			le32_put(r + WAL_RECORD_HEADER + 1, (uint32_t)len);
		if (data != NULL)
			memcpy(r + WAL_RECORD_HEADER + head, data, len);
	}
	le32_put(r + WAL_RECORD_CRC_AT,
	    crc32c_final(crc32c_update(
		crc32c_update(CRC32C_INIT, r + WAL_RECORD_HEADER, total - WAL_RECORD_HEADER), r, WAL_RECORD_CRC_AT)));
	return total;
}

/* One record at *at; where it begins becomes *prev. */
static void
put_record(struct making *m, uint64_t segno, size_t *at, lsn_t *prev, uint8_t rmid, uint8_t info, const void *data, size_t len)
{
	uint32_t xid = rmid == WAL_RMGR_XACT ? synthetic_xid(segno) + m->other : 0;
	uint8_t r[256];
	size_t total = make_record(r, xid, *prev, rmid, info, data, len);

	*prev = wal_segment_start(segno, SYNTHETIC_SEGMENT) + *at;
	assert_int_equal(put_bytes(m, segno, at, r, total), total);
	*at = aligned(*at);
}

static void
make_edge_record(uint8_t r[COMMIT], uint64_t segno)
{
	uint8_t time[8];

	le64_put(time, (uint64_t)(synthetic_time_us(segno) - CLOCK_PG_EPOCH_US));
	assert_int_equal(
	    make_record(r, synthetic_edge_xid(segno), last_lsn(segno), WAL_RMGR_XACT, 0, time, sizeof(time)), COMMIT);
}

/* Nothing much, up to the record over the edge, and what there is room for of that. */
static void
fill_up(struct making *m, uint64_t segno, size_t at, lsn_t prev)
{
	size_t end = SYNTHETIC_SEGMENT - edge_part(segno), headers = SYNTHETIC_SEGMENT / PAGE - 1;
	size_t total = end - at - headers * WAL_PAGE_SHORT;
	FREE_AUTO uint8_t *filler = malloc(total);
	uint8_t r[COMMIT];

	assert_non_null(filler);
	assert_int_equal(make_record(filler, 0, prev, WAL_RMGR_XLOG, 0x20, NULL, total - WAL_RECORD_HEADER - 5), total);
	assert_int_equal(put_bytes(m, segno, &at, filler, total), total);
	make_edge_record(r, segno);
	assert_int_equal(put_bytes(m, segno, &at, r, sizeof(r)), edge_part(segno));
}

/* What goes before the first record: the page's header, and the rest of a record. */
static size_t
begin_segment(struct making *m, uint64_t segno, lsn_t *prev)
{
	uint8_t *p = m->segment, r[COMMIT];
	size_t part;

	memset(p, 0, m->filled);
	m->filled = synthetic_has_edge(segno) ? SYNTHETIC_SEGMENT : PAGE;
	le16_put(p, MAGIC_15);
	le16_put(p + 2, WAL_PAGE_LONG_HEADER | (begins_with_rest(segno) ? WAL_PAGE_CONTRECORD : 0));
	le32_put(p + 4, m->timeline);
	le64_put(p + 8, wal_segment_start(segno, SYNTHETIC_SEGMENT));
	le64_put(p + 24, m->w->sysid);
	le32_put(p + 32, SYNTHETIC_SEGMENT);
	le32_put(p + 36, PAGE);
	*prev = segno == 0 ? 0 : last_lsn(segno - 1);
	if (!begins_with_rest(segno))
		return WAL_PAGE_LONG;
	part = edge_part(segno - 1);
	*prev = synthetic_edge_lsn(segno - 1);
	make_edge_record(r, segno - 1);
	le32_put(p + 16, (uint32_t)(COMMIT - part));
	memcpy(p + WAL_PAGE_LONG, r + part, COMMIT - part);
	return WAL_PAGE_LONG + aligned(COMMIT - part);
}

static void
make_segment(struct making *m, uint64_t segno)
{
	uint8_t time[8], point[8 + WAL_POINT_NAME_MAX] = {0};
	lsn_t prev;
	size_t at = begin_segment(m, segno, &prev);

	le64_put(time, (uint64_t)(synthetic_time_us(segno) - CLOCK_PG_EPOCH_US));
	put_record(m, segno, &at, &prev, WAL_RMGR_XACT, 0, time, sizeof(time));
	if (has_point(segno)) {
		memcpy(point, time, sizeof(time));
		(void)snprintf((char *)point + 8, WAL_POINT_NAME_MAX, "point-%llu", (unsigned long long)segno);
		put_record(m, segno, &at, &prev, WAL_RMGR_XLOG, 0x70, point, sizeof(point));
	}
	if (synthetic_has_edge(segno))
		fill_up(m, segno, at, prev);
	else
		put_record(m, segno, &at, &prev, WAL_RMGR_XLOG, 0x40, NULL, 0);
}

static void
walk(struct making *m, const struct wal_name *name)
{
	const struct wal_walk_options o = {.name = *name, .mode = WAL_COMPLETE, .sysid = m->w->sysid};
	WAL_WALKER_AUTO struct wal_walker *walker = NULL;
	struct err err = {0};

	must(wal_walker_new(&walker, &o, &err), &err);
	must(wal_walker_feed(walker, m->segment, SYNTHETIC_SEGMENT, &err), &err);
	must(wal_walker_finish(walker, m->summary, &err), &err);
}

/* As the store would, without its fsyncs: a test that is cut off is begun again. */
static void
put_file(struct making *m, const char *relative, const struct buf *bytes)
{
	const char *path = world_object(m->w, m->repo->name, relative);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

	if (fd < 0) {
		FREE_AUTO char *dir = strdup(path);
		struct err err = {0};

		assert_non_null(dir);
		*strrchr(dir, '/') = '\0';
		must(fs_make_dirs(dir, 0750, &err), &err);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	}
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes->data, bytes->len), bytes->len);
	assert_int_equal(close(fd), 0);
}

static void
put_object(
    struct making *m, const char *relative, uint8_t kind, const void *data, size_t len, const struct wal_summary *summary)
{
	struct object_spec spec = {
	    .header = {.kind = kind, .codec = OBJECT_CODEC_ZSTD}, .signing_key = m->writer->signing.secret->bytes};
	const char *file = strrchr(relative, '/') + 1;
	OBJECT_WRITER_AUTO struct object_writer *o = NULL;
	BUF_AUTO struct buf clear = {0}, sealed = {0};
	SECRET_AUTO struct secret *key = NULL;
	struct memory_place place = {.fail_at = UINT64_MAX};
	uint8_t id[CONTENT_ID];
	struct err err = {0};

	(void)snprintf(spec.header.name, sizeof(spec.header.name), "%s", relative);
	memcpy(spec.header.cluster, m->repo->cluster, OBJECT_CLUSTER);
	if (kind == OBJECT_WAL) {
		must(epoch_seal_object_key(&m->epoch, &spec.header, &key, &err), &err);
		spec.key = key->bytes;
	}
	must(content_id_new(&m->id, m->writer->comparison->bytes, &err), &err);
	content_id_update(m->id, data, len);
	content_id_final(m->id, id);
	content_id_free(STEAL(m->id));
	must(object_writer_new(&o, &spec, memory_sink(&place), &err), &err);
	must(object_writer_write(o, data, len, &err), &err);
	must(wal_object_encode(summary, id, len, file, &clear, &sealed, &err), &err);
	must(object_writer_finish(o, &clear, &sealed, NULL, &err), &err);
	put_file(m, relative, &place.visible);
	buf_free(&place.visible);
}

static void
begin(struct making *m, struct world *w, const char *repository, timeline_t timeline)
{
	*m = (struct making){.w = w, .timeline = timeline};
	m->writer = world_writer(w);
	m->fanout = world_fanout(w, m->writer);
	m->repo = world_repository(w, repository);
	m->segment = calloc(1, SYNTHETIC_SEGMENT);
	m->summary = malloc(sizeof(*m->summary));
	assert_true(m->segment != NULL && m->summary != NULL);
}

static void
end(struct making *m)
{
	free(m->segment);
	free(m->summary);
	repository_free(m->repo);
	fanout_free(m->fanout);
	writer_free(m->writer);
}

static void
put_segments(struct making *m, uint64_t first, uint64_t last)
{
	struct err err = {0};

	for (uint64_t segno = first; segno <= last; segno++) {
		char text[WAL_NAME_MAX], relative[OBJECT_NAME_MAX];
		struct wal_name name;

		if ((segno - first) % KEY_LASTS == 0)
			must(writer_new_epoch(m->writer, m->fanout, "wal", &m->epoch, &err), &err);
		wal_segment_name(text, m->timeline, segno, SYNTHETIC_SEGMENT);
		assert_true(wal_name_parse(text, &name));
		must(layout_wal(relative, m->w->sysid, &name, &err), &err);
		make_segment(m, segno);
		walk(m, &name);
		put_object(m, relative, OBJECT_WAL, m->segment, SYNTHETIC_SEGMENT, m->summary);
	}
}

void
synthetic_put(struct world *w, const char *repository, timeline_t timeline, uint64_t first, uint64_t last)
{
	struct making m;

	begin(&m, w, repository, timeline);
	put_segments(&m, first, last);
	end(&m);
}

void
synthetic_other(struct world *w, const char *repository, timeline_t timeline, uint64_t segno)
{
	struct making m;

	begin(&m, w, repository, timeline);
	m.other = 1000000;
	put_segments(&m, segno, segno);
	end(&m);
}

void
synthetic_history(struct world *w, const char *repository, timeline_t timeline, uint64_t segno)
{
	const struct wal_name name = {.kind = WAL_NAME_HISTORY, .timeline = timeline};
	char text[64], lsn[LSN_TEXT], relative[OBJECT_NAME_MAX];
	struct making m;
	struct err err = {0};

	begin(&m, w, repository, timeline);
	lsn_format(lsn, wal_segment_start(segno, SYNTHETIC_SEGMENT));
	(void)snprintf(text, sizeof(text), "1\t%s\tsynthetic\n", lsn);
	must(layout_wal(relative, w->sysid, &name, &err), &err);
	put_object(&m, relative, OBJECT_TIMELINE_HISTORY, text, strlen(text), NULL);
	end(&m);
}
