#include "pg/path.h"

#include <stddef.h>

bool
path_is_plain(const char *path)
{
	for (;;) {
		size_t n = strcspn(path, "/");

		if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (path[n] == '\0')
			return true;
		path += n + 1;
	}
}

void
path_collapse(char *path)
{
	const char *from = path;
	size_t to = 0, n;

	for (; *(from += strspn(from, "/")) != '\0'; from += n) {
		n = strcspn(from, "/");
		if (n == 2 && from[0] == '.' && from[1] == '.') {
			while (to > 0 && path[--to] != '/')
				;
			continue;
		}
		if (n == 1 && from[0] == '.')
			continue;
		path[to++] = '/'; /* what is kept is never longer than what was read */
		memmove(path + to, from, n);
		to += n;
	}
	if (to == 0)
		path[to++] = '/';
	path[to] = '\0';
}
