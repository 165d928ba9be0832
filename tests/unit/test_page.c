#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "base/scope.h"
#include "pg/page.h"

/* A page with an LSN of 1/20 and the checksum that belongs to it and to the block. */
static void
make_page(uint8_t page[PG_PAGE_BYTES], uint32_t blkno)
{
	static const uint32_t lsn[2] = {1, 0x20};
	static const uint16_t upper = 8000;
	uint16_t sum;

	for (size_t i = 0; i < PG_PAGE_BYTES; i++)
		page[i] = (uint8_t)(i * 31 + 7);
	memcpy(page, lsn, sizeof(lsn));
	memcpy(page + 14, &upper, sizeof(upper));
	sum = page_checksum(page, blkno);
	memcpy(page + 8, &sum, sizeof(sum));
}

static void
checksums_are_those_that_a_server_computes(void **state)
{
	uint8_t same[PG_PAGE_BYTES], mixed[PG_PAGE_BYTES + 1];

	(void)state;
	/* pageinspect's page_checksum() of 15.20 gave these */
	memset(same, 0xab, sizeof(same));
	assert_int_equal(page_checksum(same, 7), 29666);
	for (size_t i = 0; i < PG_PAGE_BYTES; i++)
		mixed[i + 1] = (uint8_t)(i * 31 + 7);
	assert_int_equal(page_checksum(mixed + 1, 131072), 51178);
}

/* Sixteen bits cannot see all of 65,000 single flips: about one of them gives the same checksum. */
static void
a_flipped_bit_behind_the_lsn_is_bad(void **state)
{
	uint8_t page[PG_PAGE_BYTES];
	unsigned unseen = 0;

	(void)state;
	make_page(page, 42);
	assert_int_equal(page_check(page, 42, 0, 0), PAGE_OK);
	for (size_t bit = 64; bit < (size_t)PG_PAGE_BYTES * 8; bit++) {
		page[bit / 8] ^= (uint8_t)(1 << bit % 8);
		unseen += page_check(page, 42, UINT64_C(0x100000021), 0) != PAGE_BAD;
		page[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(unseen <= 2);
}

static void
a_page_at_another_place_is_bad(void **state)
{
	uint8_t page[PG_PAGE_BYTES];

	(void)state;
	make_page(page, 42);
	assert_int_equal(page_check(page, 43, UINT64_MAX, 0), PAGE_BAD);
	assert_int_equal(page_check(page, 42 + PG_SEGMENT_PAGES, UINT64_MAX, 0), PAGE_BAD);
}

static void
only_writes_between_start_and_now_excuse_a_wrong_checksum(void **state)
{
	static const struct {
		lsn_t start, max;
		enum page_state want;
	} rows[] = {
	    {0, 0, PAGE_NEWER},
	    {0x100000020, 0, PAGE_NEWER}, /* at the start counts */
	    {0x100000020, 0x100000020, PAGE_NEWER},
	    {0x100000000, 0x200000000, PAGE_NEWER},
	    {0x100000021, 0, PAGE_BAD},
	    {0x100000000, 0x10000001f, PAGE_BAD}, /* an LSN that was never reached */
	    {0, 1, PAGE_BAD},
	};
	uint8_t page[PG_PAGE_BYTES];

	(void)state;
	make_page(page, 0);
	assert_true(page_lsn(page) == UINT64_C(0x100000020));
	page[5000] ^= 1;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(page_check(page, 0, rows[i].start, rows[i].max), rows[i].want);
}

static void
a_new_page_is_all_zero_or_bad(void **state)
{
	static const size_t places[] = {0, 1, 8, 13, 16, 4095, PG_PAGE_BYTES - 1};
	uint8_t page[PG_PAGE_BYTES] = {0};

	(void)state;
	assert_int_equal(page_check(page, 3, 0, 0), PAGE_NEW);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		page[places[i]] = 1;
		assert_int_equal(page_check(page, 3, 0, 0), PAGE_BAD);
		page[places[i]] = 0;
	}
}

static void
only_files_of_relations_have_pages(void **state)
{
	static const struct {
		const char *path;
		int fork; /* -1: none */
		uint32_t relation, segment;
	} rows[] = {
	    {"base/1/123", PAGE_FORK_MAIN, 123, 0},
	    {"base/5/123_vm.1", PAGE_FORK_VM, 123, 1},
	    {"base/5/123_fsm", PAGE_FORK_FSM, 123, 0},
	    {"base/4294967295/4294967295_init.32767", PAGE_FORK_INIT, 4294967295, 32767},
	    {"global/1260", PAGE_FORK_MAIN, 1260, 0},
	    {"pg_tblspc/16400/PG_15_202209061/5/123.10", PAGE_FORK_MAIN, 123, 10},
	    {"PG_15_202209061/5/123", PAGE_FORK_MAIN, 123, 0},
	    {"", -1},
	    {"base", -1},
	    {"base/", -1},
	    {"base/123", -1},
	    {"base/1/", -1},
	    {"base/1/0", -1},
	    {"base/1/0123", -1},
	    {"base/01/123", -1},
	    {"base/1/123.", -1},
	    {"base/1/123.0", -1},
	    {"base/1/123.01", -1},
	    {"base/1/123.32768", -1},
	    {"base/1/123.1.1", -1},
	    {"base/1/123.1_vm", -1},
	    {"base/1/123_vm_fsm", -1},
	    {"base/1/123_", -1},
	    {"base/1/123_main", -1},
	    {"base/1/123_vmx", -1},
	    {"base/1/4294967296", -1},
	    {"base/1/99999999999999999999999", -1},
	    {"base/1/-1", -1},
	    {"base/1/123/4", -1},
	    {"base/1/t3_123", -1},
	    {"base/1/INCREMENTAL.123", -1},
	    {"base/1/pg_filenode.map", -1},
	    {"base/1/PG_VERSION", -1},
	    {"base/1/123~", -1},
	    {"base/pgsql_tmp/123", -1},
	    {"global/pg_control", -1},
	    {"global/5/1260", -1},
	    {"pg_xact/0000", -1},
	    {"pg_multixact/members/1234", -1},
	    {"/base/1/123", -1},
	    {"xbase/1/123", -1},
	    {"pg_tblspc/16400/5/123", -1},
	    {"pg_tblspc/16400/PG_15/5/123", -1},
	    {"pg_tblspc/PG_15_202209061/5/123", -1},
	    {"pg_tblspc/016400/PG_15_202209061/5/123", -1},
	    {"PG_15_202209061/123", -1},
	    {"PG_x_1/5/123", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct page_file f = {0};
		bool is = page_relation_path(rows[i].path, &f);

		if (is != (rows[i].fork >= 0))
			fail_msg("'%s'", rows[i].path);
		if (!is)
			continue;
		assert_int_equal(f.fork, rows[i].fork);
		assert_int_equal(f.relation, rows[i].relation);
		assert_int_equal(f.segment, rows[i].segment);
		assert_true(f.first_block == rows[i].segment * UINT32_C(131072));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(checksums_are_those_that_a_server_computes),
	    cmocka_unit_test(a_flipped_bit_behind_the_lsn_is_bad),
	    cmocka_unit_test(a_page_at_another_place_is_bad),
	    cmocka_unit_test(only_writes_between_start_and_now_excuse_a_wrong_checksum),
	    cmocka_unit_test(a_new_page_is_all_zero_or_bad),
	    cmocka_unit_test(only_files_of_relations_have_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
