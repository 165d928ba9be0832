/*
 * Cleanup by scope: a variable declared with one of these is released when its block ends, on every way out. A module
 * with a handle of its own defines its own in the same manner next to its free function.
 */
#ifndef PGCAIRN_BASE_SCOPE_H
#define PGCAIRN_BASE_SCOPE_H

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#define SCOPE(f) __attribute__((cleanup(f)))

static inline void
scope_free(void *p)
{
	free(*(void **)p);
}

static inline void
scope_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void
scope_closedir(DIR **d)
{
	if (*d != NULL)
		(void)closedir(*d);
}

#define FREE_AUTO SCOPE(scope_free) /* for what malloc gave */
#define FD_AUTO SCOPE(scope_close)  /* for descriptors that are only read from; an output is closed and checked by hand */
#define DIR_AUTO SCOPE(scope_closedir)

/* Hand a pointer over: the variable is NULL afterwards and its cleanup does nothing. */
#define STEAL(p)                                                                                                               \
	({                                                                                                                     \
		__typeof__(p) stolen_ = (p);                                                                                   \
		(p) = NULL;                                                                                                    \
		stolen_;                                                                                                       \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
