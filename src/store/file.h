/*
 * A directory as a store. Publishing is create-only by link(2): from an unnamed temporary (O_TMPFILE) where the file system
 * has them, so that a kill leaves no litter; else from tmp/ below the root, and renameat2(RENAME_NOREPLACE) where there are no
 * hard links. A name in tmp/ is never a key. The root is held open by a descriptor: every look-up goes through it, so that
 * an unmounted file system cannot turn into an empty one halfway. A miss is ERR_NOT_FOUND only while that descriptor still
 * answers and the path still leads to the same directory; else ERR_IO.
 *
 * Below the root no link is followed and no mount point is crossed: a file system mounted inside could go away alone, and
 * what it held would look proven missing. Objects are created 0640 and directories 0750, less the umask.
 */
#ifndef PGCAIRN_STORE_FILE_H
#define PGCAIRN_STORE_FILE_H

#include "store/store.h"

/* The directory that a file:// URL names, its %XX decoded; a new string. ERR_CONFIG for any other URL. */
int store_file_url_path(char **out, const char *url, struct err *err);

/* path is absolute. ERR_NOT_FOUND never comes from here: a root that is not there is ERR_IO with a hint. */
int store_file_open(struct store **out, const char *path, bool create, struct err *err);

/*
 * Remove temporaries that no living process holds and that are older than age_ms. How many went into *removed. One whose
 * holder cannot be asked for (another user's file, no flock on this file system) stays.
 */
int store_file_sweep(struct store *s, int64_t age_ms, unsigned *removed, struct err *err);

#endif
