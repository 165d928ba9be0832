#include "cli/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/client.h"
#include "base/clock.h"
#include "base/str.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/table.h"
#include "ops/info.h"

#define INTERVAL_MS 2000
#define AGENT_LIMIT_MS 5000
#define HOME_AND_CLEAR "\x1b[H\x1b[2J"

/* ---- a frame: {time, source, cluster, ..., repositories: [{name, state, lag_...}]} ---- */

/* The agent's own report of this cluster. */
static int
agent_frame(const struct op *op, json_t *frame, struct err *err)
{
	JSON_AUTO json_t *report = NULL;
	json_t *clusters, *one;
	size_t i;
	int rc = agent_ask_status(op->config, AGENT_LIMIT_MS, &report, err);

	if (rc == 0)
		rc = json_get_array(report, "clusters", &clusters, err);
	if (rc < 0)
		return rc;
	json_array_foreach(clusters, i, one)
	{
		const char *name = json_string_value(json_object_get(one, "cluster"));

		if (name == NULL || strcmp(name, op->cluster->name) != 0)
			continue;
		report_text(frame, "source", "agent");
		return json_object_update(frame, one) == 0 ? 0 : err_set(err, ERR_NOMEM, 0, "out of memory for a report");
	}
	return err_set(err, ERR_NOT_FOUND, 0, "the agent does not serve cluster '%s'", op->cluster->name);
}

/* The repository that is furthest, to measure the others by. */
static const struct info_repository *
furthest(const struct info *info)
{
	const struct info_repository *best = NULL;

	for (size_t i = 0; i < info->n; i++) {
		const struct info_repository *r = &info->repositories[i];

		if (r->newest[0] == '\0')
			continue;
		if (best == NULL || r->newest_system > best->newest_system ||
		    (r->newest_system == best->newest_system && strcmp(r->newest, best->newest) > 0))
			best = r;
	}
	return best;
}

static json_t *
repository_json(const struct info_repository *r, const struct info_repository *best)
{
	json_t *o = json_object();

	report_text(o, "name", r->config->name);
	report_text(o, "state", info_state_name(r->state));
	report_text(o, "newest", r->newest);
	if (r->state == INFO_UNREACHABLE)
		report_text(o, "error", r->err.msg);
	if (best == NULL || r->newest_system != best->newest_system || r->newest_timeline != best->newest_timeline)
		return o;
	report_number(o, "lag_segments", best->newest_segno - r->newest_segno);
	report_number(o, "lag_bytes", (best->newest_segno - r->newest_segno) * r->repo->lineage[r->newest_system].segment_size);
	return o;
}

static int
repositories_frame(const struct op *op, json_t *frame, struct err *err)
{
	INFO_AUTO struct info info = {0};
	json_t *list = json_array();
	int rc = info_collect(op, &info, err);

	for (size_t i = 0; rc == 0 && i < info.n; i++)
		json_array_append_new(list, repository_json(&info.repositories[i], furthest(&info)));
	report_text(frame, "source", "repositories");
	report_text(frame, "cluster", op->cluster->name);
	json_object_set_new(frame, "repositories", list);
	return rc;
}

static int
make_frame(const struct op *op, json_t **out, struct err *err)
{
	json_t *frame = json_object();
	struct err unseen;
	int rc;

	report_time(frame, "time", clock_now_us());
	rc = agent_frame(op, frame, &unseen);
	if (rc < 0)
		rc = repositories_frame(op, frame, err);
	if (rc < 0) {
		json_decref(frame);
		return rc;
	}
	*out = frame;
	return 0;
}

/* ---- for people ---- */

static const char *
text_of(const json_t *o, const char *member)
{
	const char *text = json_string_value(json_object_get(o, member));

	return text != NULL ? text : "";
}

static uint64_t
number_of(const json_t *o, const char *member)
{
	json_int_t n = json_integer_value(json_object_get(o, member));

	return n > 0 ? (uint64_t)n : 0;
}

/* What went through since the frame before. */
static int
print_flow(struct buf *b, const json_t *frame, const json_t *before, int64_t interval_ms, struct err *err)
{
	uint64_t files = number_of(frame, "shipped"), bytes = number_of(frame, "bytes");
	char rate[16] = "";
	int rc;

	if (strcmp(text_of(frame, "source"), "agent") != 0)
		return buf_printf(b, err, "no agent runs here: this is what the repositories hold\n");
	if (before != NULL && bytes >= number_of(before, "bytes"))
		str_from_size(rate, sizeof(rate), (bytes - number_of(before, "bytes")) * 1000 / (uint64_t)interval_ms);
	rc = buf_printf(b, err,
	    "shipped %" PRIu64 " files%s%s%s; waiting %" PRIu64 "%s, under way %" PRIu64 ", failed %" PRIu64 "\n", files,
	    rate[0] != '\0' ? ", " : "", rate, rate[0] != '\0' ? "/s" : "", number_of(frame, "waiting"),
	    json_is_true(json_object_get(frame, "more")) ? " and more" : "", number_of(frame, "shipping"),
	    number_of(frame, "failed"));
	if (rc == 0 && text_of(frame, "last_file")[0] != '\0')
		rc = buf_printf(b, err, "last: %s at %s\n", text_of(frame, "last_file"), text_of(frame, "last_time"));
	return rc;
}

static int
add_lag(struct table *t, const json_t *o, const char *member, struct err *err)
{
	return json_has(o, member) ? table_cell(t, err, "%" PRIu64, number_of(o, member)) : table_cell(t, err, "?");
}

static int
print_repositories(struct buf *b, const json_t *frame, struct err *err)
{
	static const struct table_column columns[] = {{"repository", TABLE_LEFT}, {"state", TABLE_LEFT}, {"lag", TABLE_RIGHT},
	    {"bytes", TABLE_RIGHT}, {"seconds", TABLE_RIGHT}, {"", TABLE_LEFT}};
	TABLE_AUTO struct table *t = NULL;
	json_t *one;
	size_t i;
	int rc = table_new(&t, columns, ARRAY_LEN(columns), err);

	json_array_foreach(json_object_get(frame, "repositories"), i, one)
	{
		if (rc == 0)
			rc = table_cell(t, err, "%s", text_of(one, "name"));
		if (rc == 0)
			rc = table_cell(t, err, "%s", text_of(one, "state"));
		if (rc == 0)
			rc = add_lag(t, one, "lag_segments", err);
		if (rc == 0)
			rc = add_lag(t, one, "lag_bytes", err);
		if (rc == 0)
			rc = add_lag(t, one, "lag_seconds", err);
		if (rc == 0)
			rc = table_cell(t, err, "%s", json_has(one, "error") ? text_of(one, "error") : text_of(one, "newest"));
	}
	return rc < 0 ? rc : table_print(t, b, err);
}

static int
show(const json_t *frame, const json_t *before, int64_t interval_ms, bool as_json, struct err *err)
{
	BUF_AUTO struct buf b = {0};
	int rc;

	if (as_json) { /* a frame a line */
		rc = json_write(frame, &b, err);
		if (rc == 0)
			rc = buf_append(&b, "\n", 1, err);
		return rc < 0 ? rc : output_text(&b, err);
	}
	rc = buf_printf(&b, err, "cluster %s, %s\n", text_of(frame, "cluster"), text_of(frame, "time"));
	if (rc == 0)
		rc = print_flow(&b, frame, before, interval_ms, err);
	if (rc == 0)
		rc = print_repositories(&b, frame, err);
	if (rc < 0)
		return rc;
	if (isatty(STDOUT_FILENO) && fputs(HOME_AND_CLEAR, stdout) != EOF)
		(void)fflush(stdout);
	return output_text(&b, err);
}

int
watch_run(const struct cli_invocation *inv, struct err *err)
{
	const struct op *op = cli_context(inv);
	uint64_t count = cli_int(inv, "count", 0);
	int64_t interval_ms = cli_duration_ms(inv, "interval", INTERVAL_MS);
	JSON_AUTO json_t *before = NULL;

	if (interval_ms < 100)
		return err_set(err, ERR_CONFIG, 0, "--interval: at least 100ms");
	for (uint64_t i = 0; count == 0 || i < count; i++) {
		json_t *frame;
		int rc;

		if (i > 0)
			clock_sleep_ms(interval_ms);
		rc = make_frame(op, &frame, err);
		if (rc == 0) {
			rc = show(frame, before, interval_ms, cli_flag(inv, "json"), err);
			json_decref(before);
			before = frame;
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}
