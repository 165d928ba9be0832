#include "repo/layout.h"

#include <inttypes.h>
#include <stdarg.h>

#include "base/str.h"

static int fit(char *out, size_t size, struct err *err, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static int
fit(char *out, size_t size, struct err *err, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out, size, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= size)
		return err_set(err, ERR_BUG, 0, "an object name of more than %zu bytes", size - 1);
	return 0;
}

int
layout_key(char out[STORE_KEY_MAX], const char *cluster, const char *relative, struct err *err)
{
	return fit(out, STORE_KEY_MAX, err, "clusters/%s/%s", cluster, relative);
}

int
layout_wal(char out[OBJECT_NAME_MAX], uint64_t sysid, const struct wal_name *name, struct err *err)
{
	char text[WAL_NAME_MAX];

	wal_name_format(text, name);
	if (name->kind == WAL_NAME_HISTORY)
		return fit(out, OBJECT_NAME_MAX, err, "wal/%" PRIu64 "/%s", sysid, text);
	return fit(out, OBJECT_NAME_MAX, err, "wal/%" PRIu64 "/%08" PRIX32 "/%08" PRIX32 "/%s", sysid, name->timeline,
	    name->log, text);
}

int
layout_wal_timeline(char out[OBJECT_NAME_MAX], uint64_t sysid, timeline_t timeline, struct err *err)
{
	return fit(out, OBJECT_NAME_MAX, err, "wal/%" PRIu64 "/%08" PRIX32 "/", sysid, timeline);
}

int
layout_wal_index(char out[OBJECT_NAME_MAX], const char *repository_id, uint64_t sysid, const char *file, struct err *err)
{
	return fit(out, OBJECT_NAME_MAX, err, "index/%s/%" PRIu64 "/%s", repository_id, sysid, file != NULL ? file : "");
}

int
layout_epoch_key(char out[OBJECT_NAME_MAX], const uint8_t key_id[OBJECT_KEY_ID], unsigned generation, struct err *err)
{
	char hex[2 * OBJECT_KEY_ID + 1];

	str_to_hex(hex, key_id, OBJECT_KEY_ID);
	return fit(out, OBJECT_NAME_MAX, err, "keys/%s/%04u", hex, generation);
}

int
layout_record(char out[OBJECT_NAME_MAX], const char *folder, unsigned number, struct err *err)
{
	return fit(out, OBJECT_NAME_MAX, err, "%s/%04u", folder, number);
}

int
layout_pack(char out[OBJECT_NAME_MAX], const char *label, unsigned number, struct err *err)
{
	return fit(out, OBJECT_NAME_MAX, err, "backup/%s/pack-%06u", label, number);
}

int
layout_manifest(char out[OBJECT_NAME_MAX], const char *label, unsigned generation, struct err *err)
{
	return fit(out, OBJECT_NAME_MAX, err, "backup/%s/manifest-%04u", label, generation);
}

int
layout_gap_folder(char out[OBJECT_NAME_MAX], uint64_t sysid, const struct wal_name *name, struct err *err)
{
	char text[WAL_NAME_MAX];

	wal_name_format(text, name);
	return fit(out, OBJECT_NAME_MAX, err, "gaps/%" PRIu64 "/%s/", sysid, text);
}

int
layout_gap(char out[OBJECT_NAME_MAX], uint64_t sysid, const struct wal_name *name, const uint8_t content_id[CONTENT_ID],
    const char *what, struct err *err)
{
	char text[WAL_NAME_MAX], hex[2 * CONTENT_ID + 1];

	wal_name_format(text, name);
	str_to_hex(hex, content_id, CONTENT_ID);
	return fit(out, OBJECT_NAME_MAX, err, "gaps/%" PRIu64 "/%s/%s/%s", sysid, text, hex, what);
}

int
layout_conflict_record(
    char out[OBJECT_NAME_MAX], const char *relative, const uint8_t content_id[CONTENT_ID], const char *suffix, struct err *err)
{
	char hex[2 * CONTENT_ID + 1];

	str_to_hex(hex, content_id, CONTENT_ID);
	return fit(out, OBJECT_NAME_MAX, err, "conflict/%s/%s%s", relative, hex, suffix);
}

int
layout_conflict(char out[OBJECT_NAME_MAX], const char *relative, const uint8_t content_id[CONTENT_ID], struct err *err)
{
	return layout_conflict_record(out, relative, content_id, "", err);
}

bool
layout_name_valid(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n > 0 && n < LAYOUT_LABEL_MAX && name[n] == '\0' && name[0] != '.' && name[0] != '-';
}
