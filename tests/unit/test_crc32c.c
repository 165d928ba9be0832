#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/scope.h"
#include "pg/crc32c.h"

static void
known_sums_come_out(void **state)
{
	static const uint8_t zeros[32], ones[32] = {[0 ... 31] = 0xFF};
	static const struct {
		const void *data;
		size_t len;
		uint32_t want;
	} rows[] = {
	    {"", 0, 0},
	    {"a", 1, 0xC1D04330},
	    {"123456789", 9, 0xE3069283},
	    {zeros, 32, 0x8A9136AA}, /* RFC 3720, B.4 */
	    {ones, 32, 0x62A8AB43},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(crc32c_final(crc32c_update(CRC32C_INIT, rows[i].data, rows[i].len)), rows[i].want);
		assert_int_equal(crc32c_final(crc32c_update_portable(CRC32C_INIT, rows[i].data, rows[i].len)), rows[i].want);
	}
}

static void
the_fast_way_and_the_table_agree_for_every_length_and_alignment(void **state)
{
	uint8_t data[4096 + 8];

	(void)state;
	clock_random(data, sizeof(data));
	for (size_t len = 0; len <= 4096; len += len < 900 ? 1 : 61) {
		for (size_t skew = 0; skew < 8; skew++)
			assert_int_equal(crc32c_update(CRC32C_INIT, data + skew, len),
			    crc32c_update_portable(CRC32C_INIT, data + skew, len));
	}
}

static void
a_sum_of_two_halves_is_the_sum_of_the_whole(void **state)
{
	uint8_t data[3000];

	(void)state;
	clock_random(data, sizeof(data));
	for (size_t cut = 0; cut <= sizeof(data); cut += cut < 40 ? 1 : 17) {
		uint32_t a = crc32c_update(CRC32C_INIT, data, cut);
		uint32_t b = crc32c_update(0, data + cut, sizeof(data) - cut);

		assert_int_equal(crc32c_combine(a, b, sizeof(data) - cut), crc32c_update(CRC32C_INIT, data, sizeof(data)));
		if (cut > 0 && cut < sizeof(data))
			assert_int_not_equal(
			    crc32c_combine(a, b, sizeof(data) - cut + 1), crc32c_update(CRC32C_INIT, data, sizeof(data)));
	}
}

static void
a_half_of_gigabytes_is_shifted_by_its_length(void **state)
{
	uint32_t once = crc32c_combine(0x12345678, 0, UINT64_C(1) << 33);
	uint32_t twice = crc32c_combine(crc32c_combine(0x12345678, 0, UINT64_C(1) << 32), 0, UINT64_C(1) << 32);

	(void)state;
	assert_int_equal(once, twice);
	assert_int_not_equal(once, 0x12345678);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(known_sums_come_out),
	    cmocka_unit_test(the_fast_way_and_the_table_agree_for_every_length_and_alignment),
	    cmocka_unit_test(a_sum_of_two_halves_is_the_sum_of_the_whole),
	    cmocka_unit_test(a_half_of_gigabytes_is_shifted_by_its_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
