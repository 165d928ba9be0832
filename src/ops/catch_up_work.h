/* What the parts of catch_up share: catch_up.c drives, catch_up_list.c finds what lacks, catch_up_object.c brings one object.
 */
#ifndef PGCAIRN_OPS_CATCH_UP_WORK_H
#define PGCAIRN_OPS_CATCH_UP_WORK_H

#include "ops/catch_up.h"

#define CATCH_UP_SOURCES 32

/* An object that some source has. */
struct wanted {
	char *relative; /* owned */
	uint32_t have;  /* bit i: source i has it */
	bool there;     /* the target has it */
	uint64_t size;
	int64_t modified_us;
};

struct wanted_set {
	struct wanted *list; /* by name */
	size_t n, cap;
};
void wanted_set_clear(struct wanted_set *s);

/* A folder of WAL: one group of log numbers of one timeline. */
struct wal_folder {
	timeline_t timeline;
	uint32_t log;
	uint32_t names; /* that the target has, and what they add up to */
	uint64_t sum;
	bool open; /* not seen complete: to be looked at */
};

struct folder_set {
	struct wal_folder *list; /* in order */
	size_t n, cap;
};

/* One system of the cluster's lineage. */
struct catch_up_system {
	uint64_t sysid;
	struct folder_set folders;
	struct wanted_set histories;
};

struct catch_up {
	struct catch_up_system *systems;
	size_t n_systems;
	int64_t full_ms; /* when everything was looked at and all sources were heard; 0: not yet */
	char target[REPOSITORY_ID_TEXT];
	size_t n_sources;
};

struct catch_up_work {
	const struct catch_up_round *round;
	struct catch_up_result *result;
	bool down[CATCH_UP_SOURCES];         /* not asked any more in this round */
	unsigned failures[CATCH_UP_SOURCES]; /* in a row */
	uint8_t key_id[OBJECT_KEY_ID];       /* of the key that was copied last */
	bool has_key;
	int64_t left_us; /* the oldest of what could not be copied; 0: none */
};

/* Something is wrong: counted and told. */
void catch_up_trouble(struct catch_up_work *w, const char *repository, const char *relative, const struct err *why);

/* A source that failed at something: it is given up for this round at once when it does not answer, else when it goes on. */
void catch_up_source_failed(struct catch_up_work *w, size_t source, const char *relative, const struct err *why);

/* The kind of object that lies under a name of WAL, gaps or conflicts; 0 for any other name. */
uint8_t catch_up_kind(const char *relative);

/*
 * The folders of a system, with all history files; a folder where each source's names are the target's is not open. An error is
 * the target's.
 */
int catch_up_list_all(struct catch_up_work *w, struct catch_up_system *s, struct err *err);
/* The same from what is known: the newest folders of each timeline are looked at again, and what came behind them is found.
 * *full is set when that is not enough. */
int catch_up_list_newest(struct catch_up_work *w, struct catch_up_system *s, bool *full, struct err *err);

/* What the sources have below a prefix (relative, ends in '/'), and whether the target has it. An error is the target's. */
int catch_up_list(struct catch_up_work *w, const char *prefix, struct wanted_set *out, struct err *err);
int catch_up_folder_name(char out[OBJECT_NAME_MAX], uint64_t sysid, const struct wal_folder *f, struct err *err);

/*
 * One object to the target. 0: it is there now, or can be had nowhere (which was told, *left is set). An error is the target's.
 */
int catch_up_object(struct catch_up_work *w, const struct wanted *o, bool *left, struct err *err);

#endif
