/* Indexes over segments that lie in a repository, cut as a test wants them. */
#ifndef PGCAIRN_TESTS_INDEX_FIXTURE_H
#define PGCAIRN_TESTS_INDEX_FIXTURE_H

#include "chain_fixture.h"
#include "repo/wal_index.h"
#include "repo/wal_object.h"

/* Collect the rows of segments first..last; they must be one row. */
static inline void
index_collect(
    struct wal_index_draft *d, struct world *w, struct repository *r, timeline_t timeline, uint64_t first, uint64_t last)
{
	FREE_AUTO struct wal_summary *s = malloc(sizeof(*s));
	struct err err = {0};

	assert_non_null(s);
	wal_index_draft_begin(d, timeline, first);
	for (uint64_t segno = first; segno <= last; segno++) {
		STORED_AUTO struct stored *object = NULL;
		char text[WAL_NAME_MAX], relative[OBJECT_NAME_MAX];
		struct wal_name name;
		bool added;

		wal_segment_name(text, timeline, segno, 1 << 20);
		assert_true(wal_name_parse(text, &name));
		must(layout_wal(relative, w->sysid, &name, &err), &err);
		must(stored_open(&object, r, relative, OBJECT_WAL, &err), &err);
		must(wal_object_decode(s, object->clear, NULL, &err), &err);
		must(wal_index_draft_add(d, object, s, &added, &err), &err);
		assert_true(added);
	}
}

static inline void
index_put(struct world *w, const char *repository, timeline_t timeline, uint64_t first, uint64_t last)
{
	WAL_INDEX_DRAFT_AUTO struct wal_index_draft d = {0};
	REPOSITORY_AUTO struct repository *r = world_repository(w, repository);
	WRITER_AUTO struct writer *writer = world_writer(w);
	struct err err = {0};

	index_collect(&d, w, r, timeline, first, last);
	must(wal_index_put(&d, r, w->sysid, OBJECT_CODEC_ZSTD, &writer->signing, &err), &err);
}

/* The file of an index. */
static inline const char *
index_file(struct world *w, const char *repository, timeline_t timeline, uint64_t first, uint32_t n)
{
	const struct wal_index_name name = {timeline, first, n};
	REPOSITORY_AUTO struct repository *r = world_repository(w, repository);
	char relative[OBJECT_NAME_MAX];
	struct err err = {0};

	must(wal_index_relative(relative, r->id, w->sysid, &name, 1 << 20, &err), &err);
	return world_object(w, repository, relative);
}

#endif
