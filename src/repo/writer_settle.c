/*
 * Nothing that is stored can be read without the records of its repository, and whoever made those may have been killed before
 * they were durable. So the first writer of a host to find them settles them, once: a note in the state directory spares the
 * next ones the fsyncs. It bears how many records there were, since later ones can be left in the same way.
 */
#include "base/fs.h"
#include "base/str.h"
#include "repo/writer.h"

static int
settle_one(const struct writer *w, struct repository *r, struct err *err)
{
	char cluster[2 * OBJECT_CLUSTER + 1];
	FREE_AUTO char *dir = NULL, *note = NULL;
	int rc;

	str_to_hex(cluster, r->cluster, OBJECT_CLUSTER);
	dir = str_printf("%s/settled/%s", w->state_directory, cluster);
	note = dir != NULL ? str_printf("%s/%s.%zu", dir, r->id, r->n_lineage + r->n_signer_records) : NULL;
	if (note == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a path");
	if (access(note, F_OK) == 0)
		return 0;
	rc = repository_settle_records(r, err);
	if (rc == 0 && access(w->state_directory, W_OK) == 0 && fs_make_dirs(dir, 0700, NULL) == 0)
		(void)fs_write_file(note, "", 0, 0600, FS_REPLACE, NULL); /* without it the next one settles them again */
	return rc;
}

int
writer_settle(const struct writer *w, struct fanout *f, struct err *err)
{
	struct err one = {.kind = ERR_BUG};

	for (size_t i = 0; i < f->n; i++)
		if (!f->targets[i].failed && settle_one(w, f->targets[i].repo, &one) < 0)
			fanout_fail(f, i, &one);
	if (fanout_alive(f) > 0)
		return 0;
	if (err != NULL)
		*err = one;
	return one.kind;
}
