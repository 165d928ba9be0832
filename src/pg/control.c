/* pg_control as bytes; see control.h. Reading it from a data directory is in control_read.c. */
#include "pg/control.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/str.h"
#include "pg/crc32c.h"
#include "pg/wal_page.h"

static size_t
crc_at(uint32_t version)
{
	switch (version) {
	case 1300:
	case 1700:
		return 288;
	case 1800: /* a byte for default_char_signedness moved it */
		return 292;
	default:
		return 0;
	}
}

static bool
power_of_two_within(uint32_t v, uint32_t lo, uint32_t hi)
{
	return v >= lo && v <= hi && (v & (v - 1)) == 0;
}

static int
check_values(const struct control *c, int32_t state, struct err *err)
{
	if (state < CONTROL_STARTUP || state > CONTROL_IN_PRODUCTION)
		return err_set(err, ERR_CORRUPT, 0, "pg_control: cluster state %" PRId32, state);
	if (!power_of_two_within(c->block_size, 1024, 32768) || c->relation_segment_blocks == 0 ||
	    !wal_page_size_valid(c->wal_page_size) || !wal_segment_size_valid(c->wal_segment_size))
		return err_set(err, ERR_CORRUPT, 0,
		    "pg_control: sizes that cannot be: block %" PRIu32 ", relation segment %" PRIu32 ", WAL page %" PRIu32
		    ", WAL segment %" PRIu32,
		    c->block_size, c->relation_segment_blocks, c->wal_page_size, c->wal_segment_size);
	return 0;
}

static void
read_fields(const uint8_t *p, struct control *c)
{
	c->sysid = le64_get(p);
	c->version = le32_get(p + 8);
	c->catalog_version = le32_get(p + 12);
	c->time = (int64_t)le64_get(p + 24);
	c->checkpoint_lsn = le64_get(p + 32);
	c->redo_lsn = le64_get(p + 40);
	c->timeline = le32_get(p + 48);
	c->prev_timeline = le32_get(p + 52);
	c->full_page_writes = p[56] != 0;
	c->next_xid = le64_get(p + 64);
	c->next_oid = le32_get(p + 72);
	c->checkpoint_time = (int64_t)le64_get(p + 104);
	c->min_recovery_lsn = le64_get(p + 136);
	c->min_recovery_timeline = le32_get(p + 144);
	c->backup_start_lsn = le64_get(p + 152);
	c->backup_end_lsn = le64_get(p + 160);
	c->backup_end_required = p[168] != 0;
	c->wal_level = (int32_t)le32_get(p + 172);
	c->wal_log_hints = p[176] != 0;
	for (size_t i = 0; i < SERVER_LIMITS; i++)
		c->limits.v[i] = (int32_t)le32_get(p + 180 + 4 * i);
	c->track_commit_timestamp = p[200] != 0;
	c->block_size = le32_get(p + 216);
	c->relation_segment_blocks = le32_get(p + 220);
	c->wal_page_size = le32_get(p + 224);
	c->wal_segment_size = le32_get(p + 228);
	c->data_checksum_version = le32_get(p + 252);
}

int
control_parse(struct control *out, const uint8_t *data, size_t len, struct err *err)
{
	struct control c = {0};
	uint32_t crc, says;
	size_t at;
	int32_t state;
	int rc;

	if (len < CONTROL_PARSED_MIN)
		return err_set(err, ERR_CORRUPT, 0, "pg_control: only %zu bytes", len);
	read_fields(data, &c);
	at = crc_at(c.version);
	if (at == 0) {
		/* a version is a hundred times a major; anything else is a torn or foreign file, not a later server */
		if (c.version % 100 != 0 || c.version > 99900 || c.version == 0)
			return err_set(err, ERR_CORRUPT, 0, "pg_control: version %" PRIu32, c.version);
		(void)err_set(err, ERR_REFUSED, 0, "pg_control: version %" PRIu32 " is not known", c.version);
		(void)err_hint(err, "PostgreSQL 14 to 18 are supported");
		return ERR_REFUSED;
	}
	crc = crc32c_final(crc32c_update(CRC32C_INIT, data, at));
	says = le32_get(data + at);
	if (crc != says)
		return err_set(err, ERR_CORRUPT, 0, "pg_control: CRC is %08" PRIX32 ", the file says %08" PRIX32, crc, says);
	state = (int32_t)le32_get(data + 16);
	rc = check_values(&c, state, err);
	if (rc < 0)
		return rc;
	c.state = (enum control_state)state;
	*out = c;
	return 0;
}

int
control_parse_version(const char *data, size_t len, int *major, struct err *err)
{
	char text[16];
	uint64_t v;

	if (len > 0 && data[len - 1] == '\n')
		len--;
	if (len < sizeof(text)) {
		memcpy(text, data, len);
		text[len] = '\0';
		if (strlen(text) == len && str_to_u64(text, 10, 999, &v)) {
			*major = (int)v;
			return 0;
		}
	}
	return err_set(err, ERR_CORRUPT, 0, "PG_VERSION: no major version of PostgreSQL 10 or later");
}
