/*
 * See page.h. The checksum runs 32 hashes side by side over the words of a page; they are kept as vectors of eight so that the
 * compiler needs no luck to find them. Processors with AVX2 are found at run time: the same code is compiled twice, because the
 * multiplication of 32-bit lanes costs three times as much without it.
 */
#include "pg/page.h"

#include "base/str.h"

#define COLUMNS 32 /* hashes side by side */
#define ROW_BYTES (COLUMNS * 4)
#define ROWS (PG_PAGE_BYTES / ROW_BYTES)
#define LANES 8 /* of them in one vector */
#define VECTORS (COLUMNS / LANES)

/* Places in a page's header. */
#define PD_CHECKSUM 8
#define PD_UPPER 14

typedef uint32_t lanes __attribute__((vector_size(LANES * 4)));

/* Where the hashes start: constants of the on-disk format. */
static const uint32_t offsets[COLUMNS] = {0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2,
    0x83E13D2C, 0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB, 0xE58F764B,
    0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4, 0x783125BB, 0x6CA8EAA2, 0xE407EAC6,
    0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756};

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* One row of 32 words into the hashes. */
static ALWAYS_INLINE void
mix_row(lanes h[VECTORS], const uint8_t *row)
{
#pragma GCC unroll 4
	for (int i = 0; i < VECTORS; i++) {
		lanes v;

		memcpy(&v, row + i * (int)sizeof(v), sizeof(v));
		v ^= h[i];
		h[i] = v * 16777619 ^ v >> 17;
	}
}

static ALWAYS_INLINE uint32_t
hash_page(const uint8_t *page)
{
	static const uint8_t zeros[ROW_BYTES];
	uint8_t first[ROW_BYTES];
	uint32_t all[COLUMNS], sum = 0;
	lanes h[VECTORS];

	memcpy(h, offsets, sizeof(h));
	memcpy(first, page, sizeof(first));
	memset(first + PD_CHECKSUM, 0, 2); /* the checksum does not count itself */
	mix_row(h, first);
	for (int row = 1; row < ROWS; row++)
		mix_row(h, page + row * ROW_BYTES);
	mix_row(h, zeros); /* two more rounds, so that the last words spread too */
	mix_row(h, zeros);
	memcpy(all, h, sizeof(all));
	for (int i = 0; i < COLUMNS; i++)
		sum ^= all[i];
	return sum;
}

static uint32_t
hash_plain(const uint8_t *page)
{
	return hash_page(page);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static uint32_t
hash_avx2(const uint8_t *page)
{
	return hash_page(page);
}
#endif

uint16_t
page_checksum(const uint8_t page[PG_PAGE_BYTES], uint32_t blkno)
{
	uint32_t h;

#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		h = hash_avx2(page);
	else
#endif
		h = hash_plain(page);
	return (uint16_t)((h ^ blkno) % 65535 + 1);
}

static uint16_t
read_u16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

lsn_t
page_lsn(const uint8_t page[PG_PAGE_BYTES])
{
	uint32_t half[2];

	memcpy(half, page, sizeof(half)); /* the high half comes first on any machine */
	return (lsn_t)half[0] << 32 | half[1];
}

static bool
all_zero(const uint8_t page[PG_PAGE_BYTES])
{
	return page[0] == 0 && memcmp(page, page + 1, PG_PAGE_BYTES - 1) == 0;
}

enum page_state
page_check(const uint8_t page[PG_PAGE_BYTES], uint32_t blkno, lsn_t start_lsn, lsn_t max_lsn)
{
	lsn_t lsn = page_lsn(page);

	if (read_u16(page + PD_UPPER) == 0)
		return all_zero(page) ? PAGE_NEW : PAGE_BAD;
	if (read_u16(page + PD_CHECKSUM) == page_checksum(page, blkno))
		return PAGE_OK;
	return lsn >= start_lsn && (max_lsn == 0 || lsn <= max_lsn) ? PAGE_NEWER : PAGE_BAD;
}

/* A number from 1 to max without leading zeros; *p moves behind it. */
static bool
take_number(const char **p, uint64_t max, uint32_t *out)
{
	char digits[12];
	size_t n = strspn(*p, "0123456789");
	uint64_t v;

	if (n == 0 || n >= sizeof(digits) || **p == '0')
		return false;
	memcpy(digits, *p, n);
	digits[n] = '\0';
	if (!str_to_u64(digits, 1, max, &v))
		return false;
	*p += n;
	*out = (uint32_t)v;
	return true;
}

static bool
take_text(const char **p, const char *text)
{
	if (!str_starts(*p, text))
		return false;
	*p += strlen(text);
	return true;
}

/* PG_<major>_<catalog version>/ */
static bool
take_version_dir(const char **p)
{
	uint32_t major, catalog;

	return take_text(p, "PG_") && take_number(p, UINT32_MAX, &major) && take_text(p, "_") &&
	       take_number(p, UINT32_MAX, &catalog) && take_text(p, "/");
}

/* All that stands before the file's own name. */
static bool
take_directory(const char **p)
{
	uint32_t oid;

	if (take_text(p, "global/"))
		return true;
	if (take_text(p, "pg_tblspc/")) {
		if (!take_number(p, UINT32_MAX, &oid) || !take_text(p, "/") || !take_version_dir(p))
			return false;
	} else if (!take_text(p, "base/") && !take_version_dir(p)) {
		return false;
	}
	return take_number(p, UINT32_MAX, &oid) && take_text(p, "/");
}

bool
page_relation_path(const char *path, struct page_file *out)
{
	struct page_file f = {.fork = PAGE_FORK_MAIN};

	if (!take_directory(&path) || !take_number(&path, UINT32_MAX, &f.relation))
		return false;
	if (take_text(&path, "_fsm"))
		f.fork = PAGE_FORK_FSM;
	else if (take_text(&path, "_vm"))
		f.fork = PAGE_FORK_VM;
	else if (take_text(&path, "_init"))
		f.fork = PAGE_FORK_INIT;
	if (take_text(&path, ".") && !take_number(&path, UINT32_MAX / PG_SEGMENT_PAGES, &f.segment))
		return false;
	if (*path != '\0')
		return false;
	f.first_block = f.segment * PG_SEGMENT_PAGES;
	*out = f;
	return true;
}
