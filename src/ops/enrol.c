#include "ops/enrol.h"

int
enrol_run(const struct op *op, const char *text, const char *name, struct err *err)
{
	WRITER_AUTO struct writer *w = NULL;
	FANOUT_AUTO struct fanout *f = NULL;
	uint8_t key[KEY_BYTES];
	int rc = key_parse(key, KEY_TYPE_SIGNER, text, strlen(text), err);

	if (rc == 0 && strlen(name) >= sizeof(((struct repository *)0)->signer_names[0]))
		rc = err_set(err, ERR_CONFIG, 0, "a signer's name has at most 63 bytes");
	if (rc == 0)
		rc = op_open_writer(op, &w, err);
	if (rc == 0)
		rc = op_open_fanout(op, w, &f, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < f->n; i++) {
		struct fanout_target *t = &f->targets[i];

		if (t->failed) { /* every repository or none: a host that may write to one only would look broken later */
			*err = t->err;
			return err->kind;
		}
		rc = repository_enrol_signer(t->repo, key, name, &w->signing, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}
