/*
 * The disk behind the file system that forgets (forgetful.c): every file, directory and link twice, as processes see it now
 * and as it would be found after a power cut.
 *
 * What is kept follows the strictest reading of POSIX, file by file: fsync of a file keeps its bytes, its size and its mode,
 * not its name; fsync of a directory keeps the names in it, not what they name. A file whose name is kept and whose bytes are
 * not is empty. Everything else may come through a power cut or not, each name and each page on its own (struct world).
 *
 * Nodes are never freed while the file system is mounted, so that the kernel may hold on to any of them.
 */
#ifndef PGCAIRN_TESTS_FORGETFUL_H
#define PGCAIRN_TESTS_FORGETFUL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

struct name {
	char text[NAME_MAX + 1];
	struct node *node; /* NULL: removed; the slot stays, so that a reader of the directory keeps its place */
};

struct names {
	struct name *list;
	size_t n, cap;
};

struct state {
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint8_t *data; /* of a file; a link's target */
	size_t size;
	struct names names; /* of a directory */
};

struct node {
	struct node *next;
	ino_t number;
	nlink_t links; /* names that lead here now */
	struct timespec modified;
	struct state now, kept;
	struct names changes; /* a directory's new and removed names since its last fsync, in order */
	bool sound;           /* everything is kept at once */
	struct node *parent;  /* where its first name was given, for the log */
	char first_name[NAME_MAX + 1];
	char written_at[PATH_MAX]; /* its place in the world that is being written */
};

struct disk {
	struct node *nodes;
	struct node *root;
	ino_t last_number;
};

/* One outcome of a power cut. strict: nothing is there but what was synced; all: everything is; else chance decides. */
struct world {
	enum { WORLD_STRICT, WORLD_ALL, WORLD_CHANCE } kind;
	uint64_t random; /* not 0 */
};

/* As the top of forgetful.c explains them; 0 and NULL: not asked for. */
struct options {
	uint64_t worlds, seed, cut_at, kill_at;
	const char *only, *deaf_to;
	bool deaf_files, deaf_directories, no_unnamed, no_links;
};

/* A new node that no name leads to; mode has its type. The program ends when memory is out. */
struct node *disk_node(struct disk *d, mode_t mode, uid_t uid, gid_t gid);

/* The directory's entry of this name, NULL when there is none. */
struct name *disk_find(const struct node *dir, const char *name);

/* The directory has no names now. */
bool disk_is_empty(const struct node *dir);

/* Let name lead to node from now on; NULL: to nothing. */
void disk_set_name(struct node *dir, const char *name, struct node *node);

/* Change the size of a file; what is new is zeros. */
void disk_resize(struct node *file, size_t size);

void disk_write(struct node *file, const void *data, size_t len, size_t offset);

/* What fsync promises. */
void disk_keep(struct node *node);

/* Where the node was first seen, below the root, into out. */
void disk_path(const struct node *node, char out[PATH_MAX]);

/* Begin with what lies below path in a real directory, all of it kept. Ends the program when it cannot be read. */
void disk_load(struct disk *d, const char *path);

/* From now on everything that does not lie below this name in the root is kept at once. False: there is no such name. */
bool disk_forget_only(struct disk *d, const char *name);

/* Write what one world has into a new real directory. */
void disk_write_world(struct disk *d, struct world world, const char *path);

/* Serve the disk at the mount point until SIGTERM. -1 when it cannot be mounted; libfuse has said why. */
int forgetful_serve(struct disk *disk, const struct options *o, FILE *log, const char *mountpoint);

/* Prints to standard error and exits with 1. */
_Noreturn void die(const char *what, const char *path);

#endif
