#include "pg/wal_record.h"

#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"

/* The record's own data; records of the kinds we look into carry no page images, so it stands right behind the headers. */
static bool
main_data(const uint8_t *rec, size_t have, const uint8_t **data, size_t *len)
{
	size_t at = WAL_RECORD_HEADER;

	while (at + 2 <= have) {
		switch (rec[at]) {
		case 253: /* origin */
			at += 3;
			break;
		case 252: /* top-level transaction */
			at += 5;
			break;
		case 255:
			*len = rec[at + 1];
			*data = rec + at + 2;
			goto found;
		case 254:
			if (at + 5 > have)
				return false;
			*len = le32_get(rec + at + 1);
			*data = rec + at + 5;
			goto found;
		default:
			return false;
		}
	}
	return false;
found:
	if (*data > rec + have)
		return false;
	if (*len > (size_t)(rec + have - *data))
		*len = (size_t)(rec + have - *data);
	return true;
}

static void
set_time(struct wal_record_info *out, uint64_t pg_time)
{
	/* beyond the last moment that fits, the last one: the order is kept */
	if (__builtin_add_overflow((int64_t)pg_time, CLOCK_PG_EPOCH_US, &out->time_us))
		out->time_us = INT64_MAX;
	out->has_time = true;
}

/* Steps over a count and its items. */
static bool
skip_list(size_t *at, const uint8_t *d, size_t len, size_t item)
{
	uint64_t n;

	if (*at + 4 > len)
		return false;
	n = le32_get(d + *at);
	if (n > (len - *at - 4) / item)
		return false;
	*at += 4 + (size_t)n * item;
	return true;
}

/* The transaction that a COMMIT PREPARED or ROLLBACK PREPARED ends; it stands behind lists of any length. */
static uint32_t
prepared_xid(const uint8_t *d, size_t len, int major)
{
	static const struct {
		uint32_t flag;
		size_t item; /* 0: eight bytes without a count */
	} parts[] = {{1, 0}, {2, 4}, {4, 12}, {256, 12}, {8, 16}};
	size_t at = 12;
	uint32_t flags;

	if (len < at)
		return 0;
	flags = le32_get(d + 8);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		/* dropped statistics grew a half word in 18 */
		size_t item = parts[i].flag == 256 && major >= 18 ? 16 : parts[i].item;

		if ((flags & parts[i].flag) == 0)
			continue;
		if (item == 0)
			at += 8;
		else if (!skip_list(&at, d, len, item))
			return 0;
	}
	if ((flags & 16) == 0 || at + 4 > len)
		return 0;
	return le32_get(d + at);
}

static enum wal_record_kind
xact_kind(uint8_t info)
{
	static const enum wal_record_kind kinds[8] = {
	    [0] = WAL_RECORD_COMMIT, [2] = WAL_RECORD_ABORT, [3] = WAL_RECORD_COMMIT_PREPARED, [4] = WAL_RECORD_ABORT_PREPARED};

	return kinds[info >> 4 & 7];
}

bool
wal_record_may_be_target(uint8_t rmid, uint8_t info)
{
	if (rmid == WAL_RMGR_XLOG)
		return (info & 0xF0) == 0x70 || wal_record_is_parameter_change(rmid, info);
	return rmid == WAL_RMGR_XACT && xact_kind(info) != WAL_RECORD_OTHER;
}

static void
describe_xact(const uint8_t *rec, size_t have, int major, struct wal_record_info *out)
{
	const uint8_t *d;
	size_t len;

	out->kind = xact_kind(out->info);
	if (out->kind == WAL_RECORD_OTHER)
		return;
	if (out->kind == WAL_RECORD_COMMIT_PREPARED || out->kind == WAL_RECORD_ABORT_PREPARED)
		out->xid = 0;
	if (!main_data(rec, have, &d, &len) || len < 8)
		return;
	set_time(out, le64_get(d));
	if (out->xid == 0 && (out->info & 0x80) != 0)
		out->xid = prepared_xid(d, len, major);
}

static void
describe_level(const uint8_t *d, size_t len, size_t at, struct wal_record_info *out)
{
	if (len < at + 4)
		return;
	out->kind = WAL_RECORD_LEVEL;
	out->wal_level = (int32_t)le32_get(d + at);
}

static void
describe_xlog(const uint8_t *rec, size_t have, int major, struct wal_record_info *out)
{
	const uint8_t *d;
	size_t len;

	if (wal_record_is_switch(out->rmid, out->info)) {
		out->kind = WAL_RECORD_SWITCH;
		return;
	}
	if (!main_data(rec, have, &d, &len))
		return;
	switch (out->info & 0xF0) {
	case 0x00: /* checkpoints: since 17 they say the level */
	case 0x10:
		if (major >= 17)
			describe_level(d, len, 20, out);
		break;
	case 0x60: /* change of parameters: five limits, then the level */
		describe_level(d, len, 4 * SERVER_LIMITS, out);
		out->has_limits = len >= 4 * SERVER_LIMITS;
		for (size_t i = 0; out->has_limits && i < SERVER_LIMITS; i++)
			out->limits.v[i] = (int32_t)le32_get(d + 4 * i);
		break;
	case 0xE0:
		describe_level(d, len, 0, out);
		break;
	case 0x70:
		if (len < 8 + WAL_POINT_NAME_MAX)
			break;
		out->kind = WAL_RECORD_RESTORE_POINT;
		set_time(out, le64_get(d));
		memcpy(out->name, d + 8, WAL_POINT_NAME_MAX - 1);
		break;
	case 0xD0:
		out->kind = WAL_RECORD_OVERWRITE;
		if (len >= 8)
			out->overwritten = le64_get(d);
		break;
	default:
		break;
	}
}

void
wal_record_describe(const uint8_t *rec, size_t have, int major, struct wal_record_info *out)
{
	lsn_t lsn = out->lsn, end = out->end_lsn;

	*out = (struct wal_record_info){
	    .lsn = lsn,
	    .end_lsn = end,
	    .total = le32_get(rec),
	    .xid = le32_get(rec + 4),
	    .prev = le64_get(rec + 8),
	    .info = rec[16],
	    .rmid = rec[17],
	};
	if (have > out->total)
		have = out->total;
	if (out->rmid == WAL_RMGR_XACT)
		describe_xact(rec, have, major, out);
	else if (out->rmid == WAL_RMGR_XLOG)
		describe_xlog(rec, have, major, out);
}
