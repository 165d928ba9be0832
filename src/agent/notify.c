#include "agent/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "base/str.h"

void
notify_send(const char *fmt, ...)
{
	const char *to = clock_env("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	FD_AUTO int fd = -1;
	char text[512];
	va_list ap;
	int n;

	if (to == NULL || (to[0] != '/' && to[0] != '@') || strlen(to) >= sizeof(address.sun_path))
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || n <= 0)
		return;
	memcpy(address.sun_path, to, strlen(to));
	if (to[0] == '@') /* an abstract name */
		address.sun_path[0] = '\0';
	/* where nobody listens there is nobody to tell */
	if (sendto(fd, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1, MSG_NOSIGNAL,
		(const struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(to))) < 0)
		return;
}

void
notify_reloading(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}

int64_t
notify_watchdog_ms(void)
{
	const char *usec = clock_env("WATCHDOG_USEC"), *pid = clock_env("WATCHDOG_PID");
	uint64_t v, who;

	if (usec == NULL || !str_to_u64(usec, 1, INT64_MAX, &v))
		return 0;
	if (pid != NULL && (!str_to_u64(pid, 1, INT32_MAX, &who) || (pid_t)who != getpid()))
		return 0;
	return (int64_t)(v / 2000); /* twice in the time, as sd_watchdog_enabled(3) recommends */
}
