/* Which names in a cluster's folder are pgcairn's, and what they say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/verify_work.h"

#define KEY "00112233445566778899aabbccddeeff"

static const struct {
	const char *name;
	enum verify_class class;
	uint8_t kind;
} rows[] = {
    {"signers/0000", VERIFY_RECORD, OBJECT_RECORD},
    {"lineage/0012", VERIFY_RECORD, OBJECT_RECORD},
    {"recipients/9999", VERIFY_RECORD, OBJECT_RECORD},
    {"keys/" KEY "/0000", VERIFY_KEY, OBJECT_EPOCH_KEY},
    {"wal/7/00000001/00000002/000000010000000200000003", VERIFY_SEGMENT, OBJECT_WAL},
    {"wal/7/00000001/00000002/000000010000000200000003.partial", VERIFY_SEGMENT, OBJECT_WAL_PARTIAL},
    {"wal/7/00000001/00000002/000000010000000200000003.00000028.backup", VERIFY_HISTORY, OBJECT_BACKUP_HISTORY},
    {"wal/7/0000000A.history", VERIFY_HISTORY, OBJECT_TIMELINE_HISTORY},
    {"backup/20260102T030405Z-1a2b/pack-000000", VERIFY_PACK, OBJECT_PACK},
    {"backup/x/manifest-0000", VERIFY_MANIFEST, OBJECT_MANIFEST},
    {"conflict/wal/7/0000000A.history/" KEY, VERIFY_CONFLICT, OBJECT_TIMELINE_HISTORY},
    {"conflict/wal/7/00000001/00000002/000000010000000200000003/" KEY, VERIFY_CONFLICT, OBJECT_WAL},
    {"gaps/7/000000010000000200000003/" KEY "/record", VERIFY_GAP, OBJECT_RECORD},
    {"gaps/7/000000010000000200000003/" KEY "/bytes", VERIFY_QUARANTINE, OBJECT_QUARANTINE},
    {"gaps/7/000000010000000200000003.partial/" KEY "/bytes", VERIFY_QUARANTINE, OBJECT_QUARANTINE},
    {"conflict/wal/7/0000000A.history/" KEY ".resolved", VERIFY_DECISION, OBJECT_RECORD},
    {"conflict/wal/7/0000000A.history/" KEY ".released", VERIFY_DECISION, OBJECT_RECORD},
    {"conflict/wal/7/0000000A.history/" KEY ".other", VERIFY_UNKNOWN, 0},
    {"conflict/wal/7/0000000a.history/" KEY ".resolved", VERIFY_UNKNOWN, 0},
    {"index/" KEY "/7/00000001/000000010000000200000003.0001", VERIFY_INDEX, OBJECT_WAL_INDEX},
    {"index/" KEY "/7/00000002/000000020000000A00000000.1024", VERIFY_INDEX, OBJECT_WAL_INDEX},
    {"index/", VERIFY_UNKNOWN, 0},
    {"index/x", VERIFY_UNKNOWN, 0},
    {"index/" KEY, VERIFY_UNKNOWN, 0},
    {"index/" KEY "/7", VERIFY_UNKNOWN, 0},
    {"index/" KEY "/7/000000010000000200000003.0001", VERIFY_UNKNOWN, 0},
    {"index/" KEY "/7/00000002/000000010000000200000003.0001", VERIFY_UNKNOWN, 0},
    {"index/" KEY "/07/00000001/000000010000000200000003.0001", VERIFY_UNKNOWN, 0},
    {"index/" KEY "/0/00000001/000000010000000200000003.0001", VERIFY_UNKNOWN, 0},
    {"index/" KEY "00/7/00000001/000000010000000200000003.0001", VERIFY_UNKNOWN, 0},
    {"index/" KEY "/7/00000001/000000010000000200000003", VERIFY_UNKNOWN, 0},
    {"index/" KEY "/7/00000001/000000010000000200000003.1", VERIFY_UNKNOWN, 0},
    {"index/" KEY "/7/00000001/000000010000000200000003.00x1", VERIFY_UNKNOWN, 0},
    {"index/" KEY "/7/00000001/000000010000000200000003.0001/x", VERIFY_UNKNOWN, 0},
    {"index/" KEY "/7/00000001/00000001.history.0001", VERIFY_UNKNOWN, 0},
    {"gaps/", VERIFY_UNKNOWN, 0},
    {"gaps/7", VERIFY_UNKNOWN, 0},
    {"gaps/7/000000010000000200000003/" KEY, VERIFY_UNKNOWN, 0},
    {"gaps/7/000000010000000200000003/" KEY "/", VERIFY_UNKNOWN, 0},
    {"gaps/7/000000010000000200000003/" KEY "/other", VERIFY_UNKNOWN, 0},
    {"gaps/7/000000010000000200000003/" KEY "/bytes/x", VERIFY_UNKNOWN, 0},
    {"gaps/007/000000010000000200000003/" KEY "/record", VERIFY_UNKNOWN, 0},
    {"gaps/0/000000010000000200000003/" KEY "/record", VERIFY_UNKNOWN, 0},
    {"gaps/7/00000001000000020000000/" KEY "/record", VERIFY_UNKNOWN, 0},
    {"gaps/7/000000010000000200000003/00112233445566778899AABBCCDDEEFF/record", VERIFY_UNKNOWN, 0},
    {"gaps/7/000000010000000200000003/0011/record", VERIFY_UNKNOWN, 0},
    {"", VERIFY_UNKNOWN, 0},
    {"/", VERIFY_UNKNOWN, 0},
    {"signers", VERIFY_UNKNOWN, 0},
    {"signers/", VERIFY_UNKNOWN, 0},
    {"signers/000", VERIFY_UNKNOWN, 0},
    {"signers/00000", VERIFY_UNKNOWN, 0},
    {"signers/-001", VERIFY_UNKNOWN, 0},
    {"signers/0000/x", VERIFY_UNKNOWN, 0},
    {"strangers/0000", VERIFY_UNKNOWN, 0},
    {"keys/", VERIFY_UNKNOWN, 0},
    {"keys/" KEY, VERIFY_UNKNOWN, 0},
    {"keys/" KEY "/", VERIFY_UNKNOWN, 0},
    {"keys/" KEY "00/0000", VERIFY_UNKNOWN, 0},
    {"keys/x0112233445566778899aabbccddeeff/0000", VERIFY_UNKNOWN, 0},
    {"wal/", VERIFY_UNKNOWN, 0},
    {"wal/x", VERIFY_UNKNOWN, 0},
    {"wal/7/0000000a.history", VERIFY_UNKNOWN, 0},
    {"wal/0/0000000A.history", VERIFY_UNKNOWN, 0},
    {"wal/007/0000000A.history", VERIFY_UNKNOWN, 0},
    {"wal/18446744073709551616/0000000A.history", VERIFY_UNKNOWN, 0},
    {"wal/7/00000002/00000002/000000010000000200000003", VERIFY_UNKNOWN, 0},
    {"wal/7/00000001/00000003/000000010000000200000003", VERIFY_UNKNOWN, 0},
    {"wal/7/000000010000000200000003", VERIFY_UNKNOWN, 0},
    {"wal/7/00000001/00000002/000000010000000200000003.lz4", VERIFY_UNKNOWN, 0},
    {"backup/", VERIFY_UNKNOWN, 0},
    {"backup/x", VERIFY_UNKNOWN, 0},
    {"backup//manifest-0000", VERIFY_UNKNOWN, 0},
    {"backup/.x/manifest-0000", VERIFY_UNKNOWN, 0},
    {"backup/x/manifest-00000", VERIFY_UNKNOWN, 0},
    {"backup/x/manifest-0000.tmp", VERIFY_UNKNOWN, 0},
    {"backup/x/pack-0000", VERIFY_UNKNOWN, 0},
    {"backup/x/y/pack-000000", VERIFY_UNKNOWN, 0},
    {"conflict/", VERIFY_UNKNOWN, 0},
    {"conflict/x", VERIFY_UNKNOWN, 0},
    {"conflict/backup/x/manifest-0000/" KEY, VERIFY_UNKNOWN, 0},
    {"conflict/wal/7/0000000a.history/" KEY, VERIFY_UNKNOWN, 0},
};

static void
only_names_that_pgcairn_gives_are_known(void **state)
{
	struct verify_name name;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		print_message("'%s'\n", rows[i].name);
		verify_classify(rows[i].name, &name);
		assert_int_equal(name.class, rows[i].class);
		if (rows[i].class != VERIFY_UNKNOWN)
			assert_int_equal(name.kind, rows[i].kind);
	}
}

static void
a_conflict_says_which_object_it_is(void **state)
{
	struct verify_name name;

	(void)state;
	verify_classify("conflict/wal/7/0000000A.history/" KEY, &name);
	assert_string_equal(name.object, "wal/7/0000000A.history");
	verify_classify("backup/label/pack-000000", &name);
	assert_string_equal(name.object, "backup/label/pack-000000");
	assert_string_equal(name.label, "label");
}

static void
a_name_that_is_too_long_is_unknown(void **state)
{
	char text[STORE_KEY_MAX];
	struct verify_name name;

	(void)state;
	for (size_t len = OBJECT_NAME_MAX - 1; len < sizeof(text); len++) {
		memset(text, 'a', len);
		memcpy(text, "backup/", strlen("backup/"));
		text[len] = '\0';
		verify_classify(text, &name);
		assert_int_equal(name.class, VERIFY_UNKNOWN);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_names_that_pgcairn_gives_are_known),
	    cmocka_unit_test(a_conflict_says_which_object_it_is),
	    cmocka_unit_test(a_name_that_is_too_long_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
