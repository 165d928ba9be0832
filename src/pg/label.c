/* backup_label; see label.h. Lines come in one order, so each known key has its place and none comes twice. */
#include "pg/label.h"

#include <string.h>

#include "base/str.h"

static bool
set_lsn(lsn_t *out, const char *value)
{
	return lsn_parse(value, out);
}

/* "X/X (file NAME)" */
static bool
set_location(lsn_t *lsn, char segment[25], const char *value)
{
	const char *blank = strchr(value, ' ');
	char text[LSN_TEXT];
	struct wal_name name;

	if (blank == NULL || (size_t)(blank - value) >= sizeof(text) || !str_starts(blank, " (file ") ||
	    strlen(blank) != 7 + 24 + 1 || blank[31] != ')')
		return false;
	memcpy(text, value, (size_t)(blank - value));
	text[blank - value] = '\0';
	memcpy(segment, blank + 7, 24);
	segment[24] = '\0';
	return lsn_parse(text, lsn) && wal_name_parse(segment, &name) && name.kind == WAL_NAME_SEGMENT;
}

static bool
set_timeline(timeline_t *out, const char *value)
{
	uint64_t v;

	if (!str_to_u64(value, 1, UINT32_MAX, &v))
		return false;
	*out = (timeline_t)v;
	return true;
}

static bool
set_text(char *out, size_t size, const char *value)
{
	return str_copy(out, size, value, "backup_label", NULL) == 0;
}

enum key { START, STOP, CHECKPOINT, METHOD, FROM, START_TIME, TEXT, START_TLI, STOP_TIME, STOP_TLI, INC_LSN, INC_TLI, KEYS };

static const struct {
	const char *name;
	bool needed;
} keys[KEYS] = {
    [START] = {"START WAL LOCATION", true},
    [STOP] = {"STOP WAL LOCATION", false},
    [CHECKPOINT] = {"CHECKPOINT LOCATION", true},
    [METHOD] = {"BACKUP METHOD", true},
    [FROM] = {"BACKUP FROM", true},
    [START_TIME] = {"START TIME", true},
    [TEXT] = {"LABEL", true},
    [START_TLI] = {"START TIMELINE", true},
    [STOP_TIME] = {"STOP TIME", false},
    [STOP_TLI] = {"STOP TIMELINE", false},
    [INC_LSN] = {"INCREMENTAL FROM LSN", false},
    [INC_TLI] = {"INCREMENTAL FROM TLI", false},
};

static bool
set(struct label *l, enum key key, const char *value)
{
	switch (key) {
	case START:
		return set_location(&l->start_lsn, l->start_segment, value);
	case STOP:
		return set_location(&l->stop_lsn, l->stop_segment, value);
	case CHECKPOINT:
		return set_lsn(&l->checkpoint_lsn, value);
	case METHOD:
		return strcmp(value, "streamed") == 0 || strcmp(value, "pg_start_backup") == 0;
	case FROM:
		l->from_standby = strcmp(value, "standby") == 0;
		return l->from_standby || strcmp(value, "primary") == 0;
	case START_TIME:
		return set_text(l->start_time, sizeof(l->start_time), value);
	case TEXT:
		return set_text(l->text, sizeof(l->text), value);
	case START_TLI:
		return set_timeline(&l->start_timeline, value);
	case STOP_TIME:
		return set_text(l->stop_time, sizeof(l->stop_time), value);
	case STOP_TLI:
		return set_timeline(&l->stop_timeline, value);
	case INC_LSN:
		return set_lsn(&l->incremental_lsn, value);
	case INC_TLI:
		return set_timeline(&l->incremental_timeline, value);
	case KEYS:
		break;
	}
	return false;
}

/* "KEY: value"; the key's place, KEYS for one that we do not know, -1 for no such line. */
static int
find_key(const char *line, const char **value)
{
	const char *colon = strstr(line, ": ");

	if (colon == NULL || colon == line)
		return -1;
	*value = colon + 2;
	for (int k = 0; k < KEYS; k++) {
		if (strlen(keys[k].name) == (size_t)(colon - line) && str_starts(line, keys[k].name))
			return k;
	}
	return KEYS;
}

static int
take_line(struct label *l, const char *line, bool seen[KEYS], int *last, struct err *err)
{
	const char *value = "";
	int k = find_key(line, &value);

	if (k == KEYS && *last >= START_TLI)
		return 0;
	if (k < 0 || k == KEYS || k <= *last || !set(l, (enum key)k, value))
		return err_set(err, ERR_CORRUPT, 0, "backup_label: unexpected line '%.100s'", line);
	seen[k] = true;
	*last = k;
	return 0;
}

static int
check_all(struct label *l, const bool seen[KEYS], struct err *err)
{
	for (int k = 0; k < KEYS; k++) {
		if (keys[k].needed && !seen[k])
			return err_set(err, ERR_CORRUPT, 0, "backup_label: there is no line '%s'", keys[k].name);
	}
	if (seen[STOP] != seen[STOP_TLI] || seen[STOP] != seen[STOP_TIME])
		return err_set(err, ERR_CORRUPT, 0, "backup history file: the stop is only half there");
	if (seen[INC_LSN] != seen[INC_TLI])
		return err_set(err, ERR_CORRUPT, 0, "backup_label: the incremental's start is only half there");
	l->has_stop = seen[STOP];
	l->incremental = seen[INC_LSN];
	return 0;
}

int
label_parse(struct label *out, const char *data, size_t len, struct err *err)
{
	struct label l = {0};
	bool seen[KEYS] = {false};
	int last = -1, rc;

	if (len > LABEL_FILE_MAX)
		return err_set(err, ERR_CORRUPT, 0, "backup_label: %zu bytes", len);
	for (size_t at = 0; at < len;) {
		const char *nl = memchr(data + at, '\n', len - at);
		size_t n = nl != NULL ? (size_t)(nl - data) - at : 0;
		char line[LABEL_TEXT_MAX + 64];

		if (nl == NULL)
			return err_set(err, ERR_CORRUPT, 0, "backup_label: the last line is cut");
		if (n >= sizeof(line) || memchr(data + at, '\0', n) != NULL || memchr(data + at, '\r', n) != NULL) {
			(void)err_set(err, ERR_CORRUPT, 0, "backup_label: a line that the server cannot read");
			(void)err_hint(err, "it must be stored byte for byte, with plain line feeds");
			return ERR_CORRUPT;
		}
		memcpy(line, data + at, n);
		line[n] = '\0';
		rc = take_line(&l, line, seen, &last, err);
		if (rc < 0)
			return rc;
		at += n + 1;
	}
	rc = check_all(&l, seen, err);
	if (rc == 0)
		*out = l;
	return rc;
}
