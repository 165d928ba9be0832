/* Config texts that must be refused, each with its place, and the few that must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/scope.h"
#include "build-config.h"
#include "config/config_reader.h"

#define REPO "[repository:a]\nurl = file:///a\n"
#define REPO2 REPO "[repository:b]\nurl = file:///b\n"
#define X10 "xxxxxxxxxx"
#define X50 X10 X10 X10 X10 X10
#define X180 X50 X50 X50 X10 X10 X10

static struct config *
good(const char *text)
{
	struct config *cfg = NULL;
	struct err err = {0};

	if (config_parse_text(&cfg, "f", text, strlen(text), &err) < 0)
		fail_msg("refused: %s\n%s", err.msg, text);
	return cfg;
}

static void
refused(const char *text, size_t len, const char *msg, const char *hint)
{
	CONFIG_AUTO struct config *cfg = NULL;
	struct err err = {0};

	assert_int_equal(config_parse_text(&cfg, "f", text, len, &err), ERR_CONFIG);
	assert_null(cfg);
	assert_string_equal(err.msg, msg);
	if (strstr(err.hint, hint) == NULL)
		fail_msg("'%s' has not the hint '%s' but '%s'", err.msg, hint, err.hint);
}

static void
a_malformed_line_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *text, *msg, *hint;
	} rows[] = {
	    {"x = 1\n", "f:1: key 'x' stands before the first section", "[pgcairn]"},
	    {"\n; c\nx = 1\n[pgcairn]\n", "f:3: key 'x' stands before the first section", "[pgcairn]"},
	    {"[pgcairn]\nthreads\n", "f:2: not a 'key = value' line", ""},
	    {"[pgcairn]\n= 3\n", "f:2: unknown key '' in section [pgcairn]", ""},
	    {"[pgcairn]\nthreads ; = 3\nthreds = 1\n", "f:2: not a 'key = value' line", ""},
	    {"[pgcairn]\nthreads =;3\n", "f:2: threads: the value begins with ';'", "a blank and ';'"},
	    {"[pgcairn]\nthreds = 1\nthreads\n", "f:2: unknown key 'threds' in section [pgcairn]", "'threads'"},
	    {"[pgcairn]\nthreads = 1\n 2\n", "f:3: the line begins with a blank", "next line"},
	    {"[pgcairn]\n\tthreads = 1\n", "f:2: the line begins with a blank", "first column"},
	    {"[pgcairn]\nthreads = 1\n [keys]\n", "f:3: the line begins with a blank", "first column"},
	    {"[pgcairn\n", "f:1: a section line without ']'", ""},
	    {"[pgcairn] threads = 1\n", "f:1: something stands behind a section's ']'", "lines of their own"},
	    {"[pgcairn];c\n", "f:1: something stands behind a section's ']'", "blank and ';'"},
	    {"[pgcairn]]\n", "f:1: something stands behind a section's ']'", ""},
	    {"[]\n", "f:1: unknown section []", ""},
	    {"[pgcarin]\n", "f:1: unknown section [pgcarin]", "did you mean [pgcairn]?"},
	    {"[repositorys:a]\n", "f:1: unknown section [repositorys]", "did you mean [repository]?"},
	    {"[Pgcairn]\n", "f:1: unknown section [Pgcairn]", "did you mean [pgcairn]?"},
	    {"[zzz]\n", "f:1: unknown section [zzz]", ""},
	    {"[pgcairn:x]\n", "f:1: section [pgcairn] has no name behind it", ""},
	    {"[pgcairn:]\n", "f:1: section [pgcairn] has no name behind it", ""},
	    {"[cluster]\n", "f:1: section [cluster] needs a name: [cluster:NAME]", ""},
	    {"[cluster:]\n", "f:1: '' is not a name for a cluster", "at most 63"},
	    {"[cluster:A]\n", "f:1: 'A' is not a name for a cluster", "a-z"},
	    {"[cluster:.a]\n", "f:1: '.a' is not a name for a cluster", "a-z"},
	    {"[cluster:a b]\n", "f:1: 'a b' is not a name for a cluster", "a-z"},
	    {"[cluster: a]\n", "f:1: ' a' is not a name for a cluster", "a-z"},
	    {"[cluster:a/../b]\n", "f:1: 'a/../b' is not a name for a cluster", "a-z"},
	    {"[cluster:a:b]\n", "f:1: 'a:b' is not a name for a cluster", "a-z"},
	    {"[cluster:" X50 X10 "xxxx]\n", "f:1: '" X50 X10 "xxxx' is not a name for a cluster", "63"},
	    {"[keys]\n[pgcairn]\n[keys]\n", "f:3: section [keys] is there already, at f:1", "into one"},
	    {"[cluster:a]\n[cluster:b]\n\n[cluster:a]\n", "f:4: section [cluster:a] is there already, at f:1", "into one"},
	    {"[pgcairn]\nthreads = 1\nlog-level = info\nthreads = 1\n", "f:4: key 'threads' is there already, on line 2", ""},
	    {"[pgcairn]\nstate-dir = /x\n", "f:2: unknown key 'state-dir' in section [pgcairn]", ""},
	    {"[pgcairn]\nstate-direktory = /x\n", "f:2: unknown key 'state-direktory' in section [pgcairn]",
		"did you mean 'state-directory'?"},
	    {"[pgcairn]\npgdata = /x\n", "f:2: unknown key 'pgdata' in section [pgcairn]", ""},
	    {"[pgcairn]\r\nthreads = 1\r\nthreads = 2\r\n", "f:3: key 'threads' is there already, on line 2", ""},
	    {"[pgcairn]\nthreads = 1\r2\n", "f:2: a control character in the line", ""},
	    {"[pgcairn]\nrun-directory = /a\033[2J\n", "f:2: a control character in the line", ""},
	    {"[pgcairn]\nrun-directory = /a\xff\n", "f:2: the line is not UTF-8", ""},
	    {"[pgcairn]\n; \xc3\n", "f:2: the line is not UTF-8", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		refused(rows[i].text, strlen(rows[i].text), rows[i].msg, rows[i].hint);
}

static void
a_malformed_value_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *text, *msg, *hint;
	} rows[] = {
	    {"[pgcairn]\nthreads = 257\n", "f:2: threads: '257' is out of range", "0 to 256"},
	    {"[pgcairn]\nthreads = -1\n", "f:2: threads: '-1' is not a whole number", "0 to 256"},
	    {"[pgcairn]\nthreads = 1.5\n", "f:2: threads: '1.5' is not a whole number", ""},
	    {"[pgcairn]\nthreads = 0x10\n", "f:2: threads: '0x10' is not a whole number", ""},
	    {"[pgcairn]\nthreads = 99999999999999999999\n", "f:2: threads: '99999999999999999999' is not a whole number", ""},
	    {"[pgcairn]\nthreads =\n", "f:2: threads: '' is not a whole number", ""},
	    {"[pgcairn]\nthreads = 4 # four\n", "f:2: threads: '4 # four' is not a whole number", ""},
	    {"[pgcairn]\nlog-level = warn\n", "f:2: log-level: 'warn' is none of its words", "error, warning, info, debug"},
	    {"[pgcairn]\nlog-level = inof\n", "f:2: log-level: 'inof' is none of its words", "did you mean 'info'?"},
	    {"[pgcairn]\nlog-level = Info\n", "f:2: log-level: 'Info' is none of its words", "did you mean 'info'?"},
	    {"[pgcairn]\nstate-directory = var/lib\n", "f:2: state-directory: 'var/lib' is not an absolute path", "root"},
	    {"[pgcairn]\nstate-directory = \"/var/lib\"\n", "f:2: state-directory: '\"/var/lib\"' is not an absolute path",
		"without quotes"},
	    {"[pgcairn]\nstate-directory = ~/x\n", "f:2: state-directory: '~/x' is not an absolute path", ""},
	    {"[pgcairn]\nstate-directory =\n", "f:2: state-directory: '' is not an absolute path", ""},
	    {"[pgcairn]\nrun-directory = /run # here\n", "f:2: run-directory: '/run # here' is not a path", "';', not '#'"},
	    {"[cluster:a]\nmax-rate = 10 furlongs\n", "f:2: max-rate: '10 furlongs' is not a size", "16MB"},
	    {"[cluster:a]\nmax-rate = 10mb\n", "f:2: max-rate: '10mb' is not a size", "16MB"},
	    {"[cluster:a]\nmax-rate = 99999999TB\n", "f:2: max-rate: '99999999TB' is not a size", ""},
	    {"[cluster:a]\nwal-compression = gzip\n", "f:2: wal-compression: 'gzip' is none of its words", "one of: lz4, zstd"},
	    {"[cluster:a]\nencryption = off\n", "f:2: encryption: 'off' is none of its words", "on, none"},
	    {"[cluster:a]\ncheckpoint = slow\n", "f:2: checkpoint: 'slow' is none of its words", "fast, spread"},
	    {"[archive]\ntimeout = 60\n", "f:2: timeout: '60' is not a duration", "90s"},
	    {"[archive]\ntimeout = 1m\n", "f:2: timeout: '1m' is not a duration", "min"},
	    {"[archive]\ntimeout = 0s\n", "f:2: timeout: '0s' is out of range", "from 1s to 1d"},
	    {"[archive]\ntimeout = 2d\n", "f:2: timeout: '2d' is out of range", "from 1s to 1d"},
	    {"[retention]\nwindow = NaN\n", "f:2: window: 'NaN' is not a duration", ""},
	    {"[retention]\nminimum = 0\n", "f:2: minimum: '0' is out of range", "1 to 10000"},
	    {"[check]\nbackup-max-age = 13am\n", "f:2: backup-max-age: '13am' is not a duration", ""},
	    {"[archive]\nacknowledge =\n", "f:2: acknowledge: the value is missing", ""},
	    {"[archive]\nacknowledge = a,,b\n", "f:2: acknowledge: 'a,,b' is not a list of words: there is a comma too many",
		""},
	    {"[archive]\nacknowledge = ,a\n", "f:2: acknowledge: ',a' is not a list of words: there is a comma too many", ""},
	    {"[archive]\nacknowledge = a,\n", "f:2: acknowledge: 'a,' is not a list of words: there is a comma too many", ""},
	    {"[repository:a]\nurl =\n", "f:2: url: the value is missing", ""},
	    {"[repository:a]\nurl = file:///a\nstate = dead\n", "f:3: state: 'dead' is none of its words", "active, lost"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		refused(rows[i].text, strlen(rows[i].text), rows[i].msg, rows[i].hint);
}

static void
settings_that_do_not_go_together_are_refused(void **state)
{
	static const struct {
		const char *text, *msg, *hint;
	} rows[] = {
	    {"", "f: there is no [repository:NAME] section", "[repository:local]"},
	    {"[pgcairn]\n", "f: there is no [repository:NAME] section", "[repository:local]"},
	    {"\n[repository:a]\nstate = lost\n", "f:2: url: the key is missing", "file:///"},
	    {REPO "[repository:b]\n", "f:3: url: the key is missing", "file:///"},
	    {REPO "state = lost\n", "f:3: every repository is lost", "active"},
	    {"[repository:a]\nurl = /srv/backup\n", "f:2: url: '/srv/backup' is not a URL", "file:///"},
	    {"[repository:a]\nurl = ://a\n", "f:2: url: '://a' is not a URL", "file:///"},
	    {"[repository:a]\nurl = file:/a\n", "f:2: url: 'file:/a' is not a URL", "file:///"},
	    {"[repository:a]\nurl = file:///a # x\n", "f:2: url: 'file:///a # x' is not a URL", "';'"},
	    {"[repository:a]\nurl = sftp://me:pass@host/a\n", "f:2: url: it holds a password", "secrets"},
	    {REPO "[repository:b]\nid = 7\nurl = file:///a//\n", "f:5: url: repository 'a' has the same", "two copies"},
	    {REPO "id = 7\n[repository:b]\nurl = file:///b\nid = 7\n", "f:6: id: repository 'a' has the same", "two copies"},
	    {"[repository:all]\nurl = file:///a\n", "f:1: a repository cannot have the name 'all'", "acknowledge"},
	    {"[repository:2]\nurl = file:///a\n", "f:1: a repository cannot have the name '2'", "acknowledge"},
	    {REPO2, "f:3: 2 repositories are active and [archive] acknowledge is not set", "acknowledge = all"},
	    {REPO2 "[archive]\ntimeout = 1s\n", "f:5: 2 repositories are active and [archive] acknowledge is not set", "all"},
	    {REPO2 "[archive]\nacknowledge = 3\n",
		"f:6: acknowledge: 3 is not between 1 and the number of active repositories, 2", "stop archiving"},
	    {REPO2 "[archive]\nacknowledge = 0\n",
		"f:6: acknowledge: 0 is not between 1 and the number of active repositories, 2", "nowhere"},
	    {REPO2 "state = lost\n[archive]\nacknowledge = 2\n",
		"f:7: acknowledge: 2 is not between 1 and the number of active repositories, 1", ""},
	    {REPO2 "state = lost\n[archive]\nacknowledge = a, b\n",
		"f:7: acknowledge: repository 'b' is lost and can acknowledge nothing", "stands still"},
	    {REPO2 "[archive]\nacknowledge = a c\n", "f:6: acknowledge: there is no [repository:c]", "write all or a number"},
	    {REPO2 "[archive]\nacknowledge = a all\n", "f:6: acknowledge: there is no [repository:all]", "alone"},
	    {REPO2 "[archive]\nacknowledge = 1 a\n", "f:6: acknowledge: there is no [repository:1]", ""},
	    {REPO2 "[archive]\nacknowledge = a, a\n", "f:6: acknowledge: 'a' is named twice", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		refused(rows[i].text, strlen(rows[i].text), rows[i].msg, rows[i].hint);
}

static void
a_nul_byte_is_refused(void **state)
{
	static const char text[] = REPO "[pgcairn]\nthreads = 1\0 6\n";

	(void)state;
	refused(text, sizeof(text) - 1, "f:4: a NUL byte in the line", "");
}

/* Where inih would cut decides: what the line before the limit says is kept whole, one byte more is refused. */
static void
a_line_that_inih_would_cut_is_refused(void **state)
{
	(void)state;
	for (size_t n = 180; n <= 320; n++) {
		char path[400], text[600];
		CONFIG_AUTO struct config *cfg = NULL;
		struct err err = {0};
		int rc;

		memset(path, 'x', sizeof(path));
		path[0] = '/';
		path[n - strlen("pgdata = ")] = '\0'; /* the line has n bytes */
		(void)snprintf(text, sizeof(text), REPO "[cluster:c]\npgdata = %s\ncheckpoint = spread\n", path);
		rc = config_parse_text(&cfg, "f", text, strlen(text), &err);
		if (n <= 198) {
			assert_int_equal(rc, 0);
			assert_string_equal(cfg->clusters[0].pgdata, path);
			assert_int_equal(cfg->clusters[0].checkpoint, CONFIG_CHECKPOINT_SPREAD);
		} else {
			char want[100];

			(void)snprintf(
			    want, sizeof(want), "f:4: the line has %zu bytes, more than the 198 that can be read", n);
			assert_int_equal(rc, ERR_CONFIG);
			assert_string_equal(err.msg, want);
			assert_non_null(strstr(err.hint, "service file"));
		}
	}
}

static void
a_line_over_4000_bytes_is_refused_even_as_a_comment(void **state)
{
	char text[5000];

	(void)state;
	memset(text, ';', sizeof(text));
	text[0] = '\n';
	refused(text, 4002, "f:2: the line has 4001 bytes, more than 4000", "");
	refused(text, 4001, "f: there is no [repository:NAME] section", "");
}

/* inih reads a comment of more than its buffer as a comment and a setting. */
static void
a_long_comment_sets_nothing(void **state)
{
	CONFIG_AUTO struct config *cfg = good(REPO "[pgcairn]\n;" X180 X10 "xxxxxxxxthreads = 9\n  # threads = 8\n\t\n");

	(void)state;
	assert_int_equal(cfg->threads, 0);
}

static void
a_file_over_1_mib_is_refused(void **state)
{
	size_t size = CONFIG_FILE_MAX + 1;
	FREE_AUTO char *text = malloc(size);

	(void)state;
	assert_non_null(text);
	memset(text, '\n', size);
	refused(text, size, "f: the file is larger than 1048576 bytes", "");
}

static void
sections_without_end_are_refused(void **state)
{
	BUF_AUTO struct buf text = {0};

	(void)state;
	for (int i = 0; i <= CONFIG_SECTIONS_MAX; i++)
		assert_int_equal(buf_printf(&text, NULL, "[cluster:c%d]\n", i), 0);
	refused(buf_text(&text), text.len, "f:501: there are more than 500 sections", "");
}

static void
presets_hold_where_nothing_is_set(void **state)
{
	CONFIG_AUTO struct config *cfg = good(REPO "[cluster:c]\n");

	(void)state;
	assert_string_equal(cfg->state_directory, "/var/lib/pgcairn");
	assert_string_equal(cfg->run_directory, "/run/pgcairn");
	assert_int_equal(cfg->log_level, LOG_INFO);
	assert_int_equal(cfg->threads, 0);
	assert_in_range(config_threads(cfg), 1, 256);
	assert_string_equal(cfg->recipients_file, PGCAIRN_SYSCONFDIR "/pgcairn/recipients");
	assert_string_equal(cfg->comparison_key, PGCAIRN_SYSCONFDIR "/pgcairn/comparison-key");
	assert_string_equal(cfg->identity, PGCAIRN_SYSCONFDIR "/pgcairn/identity");
	assert_string_equal(cfg->signers_file, PGCAIRN_SYSCONFDIR "/pgcairn/signers");
	assert_string_equal(cfg->signing_key, "/var/lib/pgcairn/signing-key");
	assert_int_equal(cfg->archive_timeout_ms, 60000);
	assert_int_equal(cfg->restore_timeout_ms, 120000);
	assert_int_equal(cfg->backup_max_age_ms, 26 * 3600000);
	assert_int_equal(cfg->archive_max_age_ms, 3600000);
	assert_int_equal(cfg->retention_window_ms, 0);
	assert_int_equal(cfg->retention_minimum, 0);
	assert_null(cfg->clusters[0].pgdata);
	assert_string_equal(cfg->clusters[0].conninfo, "");
	assert_int_equal(cfg->clusters[0].max_rate, 0);
	assert_int_equal(cfg->clusters[0].checkpoint, CONFIG_CHECKPOINT_FAST);
	assert_int_equal(cfg->clusters[0].wal_compression, CONFIG_COMPRESSION_LZ4);
	assert_int_equal(cfg->clusters[0].encryption, CONFIG_ENCRYPTION_ON);
	assert_null(cfg->repositories[0].id);
	assert_int_equal(cfg->repositories[0].state, CONFIG_REPOSITORY_ACTIVE);
}

static void
what_is_set_is_what_is_read(void **state)
{
	CONFIG_AUTO struct config *cfg = good("\xef\xbb\xbf[pgcairn] ; this host\r\n"
					      "state-directory=/s\r\nthreads = 3\r\nlog-level = debug\r\n"
					      "[cluster:" X50 X10 "xxx]\n"
					      "conninfo = host=/tmp user=me ; the local one\n"
					      "max-rate = 32MB\nbackup-compression = lz4\nencryption = none\n"
					      "[cluster:" X50 X10 "xxy]\n"
					      "[repository:b.2_c-d]\nurl = file:///caf\xc3\xa9;x\nid = 7\n"
					      "[repository:a]\nurl = file:///a\nstate = lost\n"
					      "[retention]\nwindow = 2w\nminimum = 2");

	(void)state;
	assert_string_equal(cfg->state_directory, "/s");
	assert_string_equal(cfg->signing_key, "/s/signing-key");
	assert_int_equal(cfg->threads, 3);
	assert_int_equal(config_threads(cfg), 3);
	assert_int_equal(cfg->log_level, LOG_DEBUG);
	assert_int_equal(cfg->n_clusters, 2); /* names that inih would have cut to the same 49 bytes */
	assert_string_equal(cfg->clusters[0].conninfo, "host=/tmp user=me");
	assert_int_equal(cfg->clusters[0].max_rate, 32 << 20);
	assert_int_equal(cfg->clusters[0].backup_compression, CONFIG_COMPRESSION_LZ4);
	assert_int_equal(cfg->clusters[0].encryption, CONFIG_ENCRYPTION_NONE);
	assert_int_equal(cfg->clusters[1].encryption, CONFIG_ENCRYPTION_ON);
	assert_int_equal(cfg->n_repositories, 2);
	assert_string_equal(cfg->repositories[0].name, "b.2_c-d");
	assert_string_equal(cfg->repositories[0].url, "file:///caf\xc3\xa9;x");
	assert_string_equal(cfg->repositories[0].id, "7");
	assert_ptr_equal(config_repository(cfg, "a"), &cfg->repositories[1]);
	assert_null(config_repository(cfg, "b"));
	assert_int_equal(cfg->repositories[1].state, CONFIG_REPOSITORY_LOST);
	assert_int_equal(cfg->retention_window_ms, INT64_C(14) * 86400000);
	assert_int_equal(cfg->retention_minimum, 2);
}

static void
a_cluster_is_chosen_only_when_there_is_no_doubt(void **state)
{
	CONFIG_AUTO struct config *none = good(REPO), *one = good(REPO "[cluster:x]\n"),
				  *two = good(REPO "[cluster:orders]\n[cluster:stock]\n");
	const struct config_cluster *c = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(config_cluster(one, NULL, &c, &err), 0);
	assert_string_equal(c->name, "x");
	assert_int_equal(config_cluster(two, "stock", &c, &err), 0);
	assert_string_equal(c->name, "stock");

	assert_int_equal(config_cluster(none, NULL, &c, &err), ERR_CONFIG);
	assert_string_equal(err.msg, "the configuration has no [cluster:NAME] section");
	assert_int_equal(config_cluster(two, NULL, &c, &err), ERR_CONFIG);
	assert_string_equal(err.msg, "there are several clusters: orders, stock");
	assert_int_equal(config_cluster(two, "order", &c, &err), ERR_CONFIG);
	assert_string_equal(err.msg, "there is no [cluster:order]; there is: orders, stock");
	assert_string_equal(err.hint, "did you mean 'orders'?");
	assert_int_equal(config_cluster(one, "y", &c, NULL), ERR_CONFIG);
	assert_string_equal(c->name, "stock"); /* untouched by failures */
}

static void
a_segment_is_acknowledged_by_what_the_policy_asks_for(void **state)
{
	static const struct {
		const char *text, *done; /* done: a digit a repository */
		bool want;
	} rows[] = {
	    {REPO, "1", true},
	    {REPO, "0", false},
	    {REPO2 "[archive]\nacknowledge = all\n", "11", true},
	    {REPO2 "[archive]\nacknowledge = all\n", "10", false},
	    {REPO2 "[archive]\nacknowledge = all\n", "01", false},
	    {REPO2 "[archive]\nacknowledge = 1\n", "01", true},
	    {REPO2 "[archive]\nacknowledge = 1\n", "00", false},
	    {REPO2 "[archive]\nacknowledge = 2\n", "10", false},
	    {REPO2 "[archive]\nacknowledge = 2\n", "11", true},
	    {REPO2 "[archive]\nacknowledge = b\n", "01", true},
	    {REPO2 "[archive]\nacknowledge = b\n", "10", false},
	    {REPO2 "[archive]\nacknowledge = b,a\n", "10", false},
	    {REPO2 "[archive]\nacknowledge = b , a\n", "11", true},
	    {REPO2 "state = lost\n", "10", true},
	    {REPO2 "state = lost\n", "01", false},
	    {REPO2 "state = lost\n", "11", true},
	    {REPO2 "state = lost\n[archive]\nacknowledge = 1\n", "01", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CONFIG_AUTO struct config *cfg = good(rows[i].text);
		bool done[2] = {rows[i].done[0] == '1', rows[i].done[1] == '1'};

		if (acknowledge_satisfied(cfg, done) != rows[i].want)
			fail_msg("%s with %s", rows[i].text, rows[i].done);
	}
}

static void
all_of_no_repositories_is_not_acknowledged(void **state)
{
	struct config cfg = {.acknowledge.mode = ACKNOWLEDGE_ALL};
	struct config_repository lost = {.state = CONFIG_REPOSITORY_LOST};
	bool done[1] = {true};

	(void)state;
	assert_false(acknowledge_satisfied(&cfg, done));
	cfg.repositories = &lost;
	cfg.n_repositories = 1;
	assert_false(acknowledge_satisfied(&cfg, done));
}

static void
secrets_are_not_printed(void **state)
{
	CONFIG_AUTO struct config *cfg = good(REPO "[cluster:c]\npgdata = /d\nconninfo = password=sesame\n"
						   "primary-conninfo = password=sesame\n");
	BUF_AUTO struct buf ini = {0}, json = {0};

	(void)state;
	assert_int_equal(config_print(cfg, &ini, false, NULL), 0);
	assert_int_equal(config_print(cfg, &json, true, NULL), 0);
	assert_null(strstr(buf_text(&ini), "sesame"));
	assert_null(strstr(buf_text(&json), "sesame"));
	assert_non_null(strstr(buf_text(&ini), "[cluster:c]\npgdata = /d\nconninfo = (hidden)\nprimary-conninfo = (hidden)\n"));
	assert_non_null(strstr(buf_text(&json), "\"conninfo\": \"(hidden)\""));
	assert_non_null(strstr(buf_text(&json), "\"id\": null"));
	assert_non_null(strstr(buf_text(&ini), "; acknowledge is not set\ntimeout = 1min\n"));
}

static void
what_is_printed_reads_back_the_same(void **state)
{
	CONFIG_AUTO struct config *cfg = good(REPO2 "[cluster:c]\nmax-rate = 1500\n[archive]\nacknowledge = b a\n"
						    "timeout = 1500ms\n[retention]\nwindow = 36h\nminimum = 3\n");
	CONFIG_AUTO struct config *again = NULL;
	BUF_AUTO struct buf first = {0}, second = {0};

	(void)state;
	assert_int_equal(config_print(cfg, &first, false, NULL), 0);
	again = good(buf_text(&first));
	assert_int_equal(config_print(again, &second, false, NULL), 0);
	assert_string_equal(buf_text(&first), buf_text(&second));
	assert_non_null(strstr(buf_text(&first), "max-rate = 1500\n"));
	assert_non_null(strstr(buf_text(&first), "timeout = 1500ms\n"));
	assert_non_null(strstr(buf_text(&first), "acknowledge = b, a\n"));
	assert_non_null(strstr(buf_text(&first), "window = 36h\nminimum = 3\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_malformed_line_is_refused_with_its_place),
	    cmocka_unit_test(a_malformed_value_is_refused_with_its_place),
	    cmocka_unit_test(settings_that_do_not_go_together_are_refused),
	    cmocka_unit_test(a_nul_byte_is_refused),
	    cmocka_unit_test(a_line_that_inih_would_cut_is_refused),
	    cmocka_unit_test(a_line_over_4000_bytes_is_refused_even_as_a_comment),
	    cmocka_unit_test(a_long_comment_sets_nothing),
	    cmocka_unit_test(a_file_over_1_mib_is_refused),
	    cmocka_unit_test(sections_without_end_are_refused),
	    cmocka_unit_test(presets_hold_where_nothing_is_set),
	    cmocka_unit_test(what_is_set_is_what_is_read),
	    cmocka_unit_test(a_cluster_is_chosen_only_when_there_is_no_doubt),
	    cmocka_unit_test(a_segment_is_acknowledged_by_what_the_policy_asks_for),
	    cmocka_unit_test(all_of_no_repositories_is_not_acknowledged),
	    cmocka_unit_test(secrets_are_not_printed),
	    cmocka_unit_test(what_is_printed_reads_back_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
