/*
 * For LD_PRELOAD: the allocation number $STARVE_NTH of a process answers that memory is out, and a line in $STARVE_LOG says
 * that there was one. What is allocated before main counts too; a child goes on with its parent's number. Only for tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* glibc's own, under the names that it exports for this */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static long nth;
static const char *log_path;
static atomic_long number;

__attribute__((constructor)) static void
begin(void)
{
	const char *text = getenv("STARVE_NTH");

	log_path = getenv("STARVE_LOG");
	number = 0;
	nth = text != NULL ? strtol(text, NULL, 10) : 0;
}

static bool
starve(void)
{
	static const char line[] = "starved\n";
	int fd;

	if (nth == 0 || atomic_fetch_add(&number, 1) + 1 != nth)
		return false;
	fd = log_path != NULL ? open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
	if (fd >= 0) {
		if (write(fd, line, sizeof(line) - 1) < 0)
			abort();
		(void)close(fd);
	}
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t size)
{
	return starve() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return starve() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *old, size_t size)
{
	return starve() ? NULL : __libc_realloc(old, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return starve() ? NULL : __libc_memalign(alignment, size);
}

int
posix_memalign(void **out, size_t alignment, size_t size)
{
	void *p = starve() ? NULL : __libc_memalign(alignment, size);

	if (p == NULL)
		return ENOMEM;
	*out = p;
	return 0;
}
