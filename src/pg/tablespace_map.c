/* tablespace_map; see tablespace_map.h. */
#include "pg/tablespace_map.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* One line without escapes: "oid path". */
static int
add(struct tablespace_map *map, char *line, struct err *err)
{
	char *blank = strchr(line, ' ');
	struct tablespace_entry *grown;
	uint64_t oid = 0;

	if (blank != NULL)
		*blank = '\0';
	if (blank == NULL || blank[1] == '\0' || !str_to_u64(line, 1, UINT32_MAX, &oid))
		return err_set(err, ERR_CORRUPT, 0, "tablespace_map: no oid and path in '%.100s'", line);
	for (size_t i = 0; i < map->n; i++) {
		if (map->entries[i].oid == oid)
			return err_set(err, ERR_CORRUPT, 0, "tablespace_map: tablespace %" PRIu64 " comes twice", oid);
	}
	if (map->n >= TABLESPACES_MAX)
		return err_set(err, ERR_CORRUPT, 0, "tablespace_map: too many tablespaces");
	grown = realloc(map->entries, (map->n + 1) * sizeof(*grown));
	if (grown == NULL)
		return err_set(err, ERR_NOMEM, 0, "no memory for tablespace_map");
	map->entries = grown;
	grown[map->n] = (struct tablespace_entry){.oid = (uint32_t)oid, .path = strdup(blank + 1)};
	if (grown[map->n].path == NULL)
		return err_set(err, ERR_NOMEM, 0, "no memory for tablespace_map");
	map->n++;
	return 0;
}

int
tablespace_map_parse(struct tablespace_map *out, const char *data, size_t len, struct err *err)
{
	TABLESPACE_MAP_AUTO struct tablespace_map map = {0};
	char line[TABLESPACE_PATH_MAX];
	size_t n = 0;
	bool escaped = false;

	if (len > TABLESPACE_MAP_MAX)
		return err_set(err, ERR_CORRUPT, 0, "tablespace_map: %zu bytes", len);
	for (size_t i = 0; i < len; i++) {
		char c = data[i];

		if (!escaped && c == '\\') {
			escaped = true;
		} else if (!escaped && c == '\n') {
			int rc;

			line[n] = '\0';
			rc = add(&map, line, err);
			if (rc < 0)
				return rc;
			n = 0;
		} else if (c == '\0' || (!escaped && c == '\r') || n + 1 >= sizeof(line)) {
			return err_set(err, ERR_CORRUPT, 0, "tablespace_map: a line that the server cannot read");
		} else {
			line[n++] = c;
			escaped = false;
		}
	}
	if (n > 0 || escaped)
		return err_set(err, ERR_CORRUPT, 0, "tablespace_map: the last line is cut");
	*out = map;
	memset(&map, 0, sizeof(map));
	return 0;
}

void
tablespace_map_free(struct tablespace_map *map)
{
	for (size_t i = 0; i < map->n; i++)
		free(map->entries[i].path);
	free(map->entries);
	memset(map, 0, sizeof(*map));
}

int
tablespace_map_write(const struct tablespace_map *map, struct buf *out, struct err *err)
{
	for (size_t i = 0; i < map->n; i++) {
		const struct tablespace_entry *e = &map->entries[i];
		int rc;

		/* oid and blank share the server's line buffer with the path */
		if (e->oid == 0 || e->path[0] == '\0' || strlen(e->path) > TABLESPACE_PATH_MAX - 1 - 11)
			return err_set(err, ERR_CONFIG, 0, "tablespace %" PRIu32 ": the path '%.100s' is empty or too long",
			    e->oid, e->path);
		rc = buf_printf(out, err, "%" PRIu32 " ", e->oid);
		for (const char *p = e->path; rc == 0 && *p != '\0'; p++) {
			if (*p == '\n' || *p == '\r' || *p == '\\')
				rc = buf_append(out, "\\", 1, err);
			if (rc == 0)
				rc = buf_append(out, p, 1, err);
		}
		if (rc == 0)
			rc = buf_append(out, "\n", 1, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}
