/*
 * How the restored server recovers: postgresql.auto.conf without the settings of an earlier recovery and with ours, the signal
 * file, tablespace_map with the new places, and a note for whoever adopts the copy later.
 *
 * Clears stand before the real target, since PostgreSQL refuses two targets even when the later one is empty; the last value of
 * a setting wins, also over postgresql.conf.
 */
#ifndef PGCAIRN_OPS_RESTORE_SETTINGS_H
#define PGCAIRN_OPS_RESTORE_SETTINGS_H

#include "base/buf.h"
#include "ops/restore.h"
#include "pg/tablespace_map.h"

#define AUTO_CONF "postgresql.auto.conf"
#define AUTO_CONF_MAX ((size_t)4 << 20)

/*
 * The new postgresql.auto.conf from the old one's text: lines about recovery, the archive's source and the primary are dropped,
 * ours follow. restore_command is complete, with %f and %p.
 */
int restore_auto_conf(const char *old, size_t old_len, const struct restore_options *o, const struct plan *plan,
    const char *restore_command, struct buf *out, struct err *err);

/* The same lines without ours: what is left when a copy that has recovered is adopted. */
int restore_auto_conf_adopted(const char *old, size_t old_len, struct buf *out, struct err *err);

/* The value in single quotes as PostgreSQL's configuration files want it. */
int restore_quote_setting(const char *value, struct buf *out, struct err *err);

/* restore_command for this host: our binary, the configuration, the session, the chosen repositories. A new string. */
int restore_command_text(const struct op *op, const struct restore_options *o, char **out, struct err *err);

#endif
