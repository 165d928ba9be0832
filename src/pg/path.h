/*
 * Paths that a server sends, relative to a data or tablespace directory and never out of it; and paths that stand in its files.
 */
#ifndef PGCAIRN_PG_PATH_H
#define PGCAIRN_PG_PATH_H

#include <stdbool.h>

/* Components joined by single '/': none empty, "." or "..", no '/' in front or behind. Any other byte may stand in a name. */
bool path_is_plain(const char *path);

/* An absolute path as text, without empty parts, "." and "..": where links are on the way it may be another place. In place. */
void path_collapse(char *path);

#endif
