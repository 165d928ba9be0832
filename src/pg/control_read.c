/* pg_control and PG_VERSION of a data directory, where a server may be at work. */
#include "pg/control.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"

#define TRIES 5
#define PAUSE_MS 10

int
control_read_pgdata(const char *pgdata, struct control *out, struct err *err)
{
	FREE_AUTO char *path = str_printf("%s/global/pg_control", pgdata);
	BUF_AUTO struct buf b = {0};
	int rc = 0;

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "no memory for the name of pg_control");
	for (int i = 0; i < TRIES; i++) {
		if (i > 0)
			clock_sleep_ms(PAUSE_MS);
		buf_reset(&b);
		rc = fs_read_file(path, CONTROL_FILE_SIZE, &b, err);
		if (rc < 0)
			return rc;
		rc = control_parse(out, b.data, b.len, err);
		if (rc != ERR_CORRUPT)
			break;
	}
	if (rc < 0)
		(void)err_wrap(err, "'%s'", path);
	return rc;
}

int
control_read_version(const char *pgdata, int *major, struct err *err)
{
	FREE_AUTO char *path = str_printf("%s/PG_VERSION", pgdata);
	BUF_AUTO struct buf b = {0};
	int rc;

	if (path == NULL)
		return err_set(err, ERR_NOMEM, 0, "no memory for the name of PG_VERSION");
	rc = fs_read_file(path, 64, &b, err);
	if (rc == 0)
		rc = control_parse_version(buf_text(&b), b.len, major, err);
	if (rc < 0)
		(void)err_wrap(err, "'%s'", path);
	return rc;
}
