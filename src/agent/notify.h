/*
 * The service manager's side, as sd_notify(3) and systemd.service(5) describe it: datagrams to $NOTIFY_SOCKET. Without that
 * variable everything here does nothing.
 */
#ifndef PGCAIRN_AGENT_NOTIFY_H
#define PGCAIRN_AGENT_NOTIFY_H

#include <stdint.h>

/* "READY=1\nSTATUS=..."; best effort. */
void notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* RELOADING=1 needs the time at which it was said. */
void notify_reloading(void);

/* How often the watchdog wants to hear of us, in milliseconds; 0: there is none. */
int64_t notify_watchdog_ms(void);

#endif
