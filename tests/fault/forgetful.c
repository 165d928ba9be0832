/*
 * A file system in memory that forgets what was not fsynced, and what a power cut leaves of it.
 *
 *   forgetful [options] FROM TO MOUNTPOINT
 *
 * It begins with what lies in FROM, which may be below the mount point, and serves it until SIGTERM: that is the power cut.
 * Then it writes into TO: log (every operation that changes or syncs something, one a line: number, call, path), and 0, 1, ...:
 * worlds that may be found after the cut. 0 has what was synced and nothing else, 1 has everything, the others have a part of
 * what was not synced, drawn from the seed.
 *
 *   --worlds N        how many of them (1)
 *   --seed N          for the worlds from 2 on
 *   --cut-at N        operation N and all after it answer EIO: the power is gone already
 *   --kill-at N       operation N does not happen, and its process is killed
 *   --only DIR        all but what lies below DIR, a directory in FROM, is kept at once
 *   --deaf WHAT       answer fsync without keeping anything: of "files", of "directories", or of the one with this path in the
 * log
 *   --no-unnamed      there is no O_TMPFILE
 *   --no-links        there is no link(2)
 *
 * syncfs(2) and sync(2) keep nothing: the kernel does not tell a file system in user space of them.
 */
#include <errno.h>
#include <getopt.h>

#include "base/str.h"
#include "forgetful.h"

static bool
parse(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {{"worlds", required_argument, NULL, 'w'}, {"seed", required_argument, NULL, 's'},
	    {"cut-at", required_argument, NULL, 'c'}, {"kill-at", required_argument, NULL, 'k'},
	    {"deaf", required_argument, NULL, 'd'}, {"no-unnamed", no_argument, NULL, 'u'},
	    {"no-links", no_argument, NULL, 'l'}, {"only", required_argument, NULL, 'o'}, {0}};
	bool good = true;
	int c;

	*o = (struct options){.worlds = 1, .seed = 1};
	while ((c = getopt_long(argc, argv, "", known, NULL)) >= 0) {
		o->no_unnamed |= c == 'u';
		o->no_links |= c == 'l';
		if (c == 'o')
			o->only = optarg;
		else if (c == 'd') {
			o->deaf_files |= strcmp(optarg, "files") == 0;
			o->deaf_directories |= strcmp(optarg, "directories") == 0;
			o->deaf_to = optarg;
		} else if (c != 'u' && c != 'l')
			good = good && c != '?' &&
			       str_to_u64(optarg, c == 'w' ? 0 : 1, INT64_MAX,
				   c == 'w'   ? &o->worlds
				   : c == 's' ? &o->seed
				   : c == 'c' ? &o->cut_at
					      : &o->kill_at);
	}
	return good && argc - optind == 3;
}

int
main(int argc, char **argv)
{
	struct options o;
	static struct disk disk; /* nobody frees its nodes, and the leak checker finds them from here */
	const char *to;
	FILE *log;
	char path[PATH_MAX];

	if (!parse(argc, argv, &o)) {
		(void)fprintf(stderr, "usage: forgetful [options] FROM TO MOUNTPOINT\n");
		return 2;
	}
	to = argv[optind + 1];
	disk_load(&disk, argv[optind]);
	if (o.only != NULL && !disk_forget_only(&disk, o.only)) {
		errno = ENOENT;
		die("forget below", o.only);
	}
	(void)snprintf(path, sizeof(path), "%s/log", to);
	log = fopen(path, "we");
	if (log == NULL)
		die("create", path);
	if (forgetful_serve(&disk, &o, log, argv[optind + 2]) < 0)
		return 1;
	if (fclose(log) != 0)
		die("write", path);
	for (uint64_t i = 0; i < o.worlds; i++) {
		struct world w = {.kind = i == 0   ? WORLD_STRICT
					  : i == 1 ? WORLD_ALL
						   : WORLD_CHANCE,
		    .random = (o.seed * 1009 + i) * UINT64_C(0x9e3779b97f4a7c15)};

		(void)snprintf(path, sizeof(path), "%s/%llu", to, (unsigned long long)i);
		disk_write_world(&disk, w, path);
	}
	return 0;
}
