#include <inttypes.h>

#include "base/str.h"
#include "cli/exit_code.h"
#include "cli/progress.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/verbs.h"
#include "ops/verify.h"

#define PARTS_MAX 1000000

static const struct cli_option options[] = {
    {.name = "subset",
	.type = CLI_STRING,
	.value_name = "N/T",
	.doc = "read the contents of part N of T, the same objects at every run; the rest is looked at without its contents"},
    {.name = "label", .type = CLI_STRING, .value_name = "LABEL", .doc = "this backup and the WAL that it needs alone"},
    {.name = NULL},
};

static int
parse_subset(const char *text, struct verify_options *o, struct err *err)
{
	const char *slash = strchr(text, '/');
	char part[16];

	if (slash != NULL && (size_t)(slash - text) < sizeof(part)) {
		memcpy(part, text, (size_t)(slash - text));
		part[slash - text] = '\0';
		if (str_to_u64(slash + 1, 1, PARTS_MAX, &o->parts) && str_to_u64(part, 1, o->parts, &o->part))
			return 0;
	}
	err_set(err, ERR_CONFIG, 0, "--subset '%s' is not a part, as 2/7", text);
	return err_hint(err, "1/7 to 7/7 together read everything");
}

static json_t *
findings_json(const struct verify_result *r, bool notes)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n; i++) {
		const struct verify_finding *f = &r->list[i];
		json_t *o;

		if (f->note != notes)
			continue;
		o = json_object();
		report_text(o, "repository", f->repository);
		report_text(o, "object", f->object);
		report_text(o, "kind", f->kind);
		report_text(o, "what", f->what);
		report_text(o, "remedy", f->remedy);
		if (f->whole_in[0] != '\0')
			report_text(o, "whole_in", f->whole_in);
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *
report(const struct op *op, const struct verify_options *o, const struct verify_result *r)
{
	json_t *j = json_object();
	char subset[48];

	report_text(j, "cluster", op->cluster->name);
	json_object_set_new(j, "clean", json_boolean(r->n_wrong == 0));
	json_object_set_new(j, "findings", findings_json(r, false));
	json_object_set_new(j, "notes", findings_json(r, true));
	report_number(j, "found", r->n_wrong);
	report_number(j, "objects", r->objects);
	report_number(j, "objects_read", r->read);
	report_number(j, "objects_decrypted", r->decrypted);
	report_number(j, "bytes", r->bytes);
	report_number(j, "unverified_segments", r->unverified);
	report_number(j, "files", r->files);
	report_number(j, "file_bytes", r->file_bytes);
	json_object_set_new(j, "seconds", json_real((double)r->elapsed_ms / 1000));
	json_object_set_new(j, "identity", json_boolean(r->identity));
	if (!r->identity)
		report_text(j, "without_identity", r->without_identity);
	if (o->parts > 0) {
		(void)snprintf(subset, sizeof(subset), "%" PRIu64 "/%" PRIu64, o->part, o->parts);
		report_text(j, "subset", subset);
	}
	if (o->label != NULL)
		report_text(j, "label", o->label);
	return j;
}

static int
print_text(const struct verify_options *o, const struct verify_result *r, struct err *err)
{
	BUF_AUTO struct buf b = {0};
	char size[16], files[16];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->n; i++) {
		const struct verify_finding *f = &r->list[i];

		rc = buf_printf(&b, err, "%s%s: %s%s%s: %s\n  remedy: %s\n", f->note ? "note: " : "", f->repository, f->kind,
		    f->object[0] != '\0' ? " " : "", f->object, f->what, f->remedy);
		if (rc == 0 && f->whole_in[0] != '\0')
			rc = buf_printf(&b, err, "  repository '%s' has it whole\n", f->whole_in);
	}
	str_from_size(size, sizeof(size), r->bytes);
	str_from_size(files, sizeof(files), r->file_bytes);
	if (rc == 0 && r->identity)
		rc = buf_printf(&b, err,
		    "contents were decrypted; %" PRIu64 " files of backups, %s, compared with their checksums\n", r->files,
		    files);
	else if (rc == 0)
		rc = buf_printf(&b, err, "contents were not decrypted: %s\n", r->without_identity);
	if (rc == 0 && o->parts > 0)
		rc = buf_printf(&b, err, "subset %" PRIu64 "/%" PRIu64 ": contents of the other objects were not read\n",
		    o->part, o->parts);
	if (rc == 0 && r->unverified > 0)
		rc = buf_printf(&b, err,
		    "%" PRIu64
		    " segments of WAL were stored unverified: their PostgreSQL was newer than the pgcairn that stored them\n",
		    r->unverified);
	if (rc == 0)
		rc = buf_printf(&b, err, "%s: %" PRIu64 " objects, %" PRIu64 " with their contents, %s, %.1f s\n",
		    r->n_wrong == 0 ? "clean" : "FOUND SOMETHING WRONG", r->objects, r->read, size,
		    (double)r->elapsed_ms / 1000);
	return rc < 0 ? rc : output_text(&b, err);
}

static int
run(struct cli_invocation *inv)
{
	const struct op *op = cli_context(inv);
	const struct progress_options shown = {
	    .fd = STDERR_FILENO, .label = "verify", .log = op->log, .disabled = cli_flag(inv, "quiet")};
	struct progress *progress = progress_new(&shown);
	struct verify_options o = {.label = cli_value(inv, "label"), .progress = {progress_show, progress}};
	const char *subset = cli_value(inv, "subset");
	struct verify_result r = {0};
	struct err err = {0};
	int rc = subset != NULL ? parse_subset(subset, &o, &err) : 0;

	if (rc == 0)
		rc = verify_run(op, &o, &r, &err);
	progress_free(progress);
	if (rc == 0 && cli_flag(inv, "json")) {
		JSON_AUTO json_t *j = report(op, &o, &r);

		rc = output_json(j, &err);
	} else if (rc == 0) {
		rc = print_text(&o, &r, &err);
	}
	if (rc < 0)
		log_err(op->log, LOG_ERROR, &err);
	rc = rc < 0 ? exit_code_of(rc) : r.n_wrong > 0 ? EXIT_FOUND : EXIT_DONE;
	verify_result_free(&r);
	return rc;
}

const struct cli_verb verb_verify = {
    .name = "verify",
    .summary = "read what is stored and say what is wrong with it",
    .details = "Checks names, structure, signatures, digests, keys, packs, the joins of the WAL and each backup's WAL, without "
	       "any key; with "
	       "an identity on this host also the contents: WAL record by record and every file of a backup against its "
	       "checksum. Exit "
	       "codes: 0 clean; 1 it could not do its work; 2 configuration; 3 something is wrong.",
    .options = options,
    .run = run,
};
