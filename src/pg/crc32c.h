/*
 * CRC-32C (Castagnoli), as PostgreSQL puts it into WAL records and pg_control. The state is raw: it begins as CRC32C_INIT
 * and is turned into the printed value by crc32c_final. Uses the processor's instruction where it has one.
 */
#ifndef PGCAIRN_PG_CRC32C_H
#define PGCAIRN_PG_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#define CRC32C_INIT UINT32_C(0xFFFFFFFF)

uint32_t crc32c_update(uint32_t state, const void *p, size_t n);

/* The same by table, whatever the processor: the fallback, and the yardstick for tests. */
uint32_t crc32c_update_portable(uint32_t state, const void *p, size_t n);

static inline uint32_t
crc32c_final(uint32_t state)
{
	return state ^ UINT32_C(0xFFFFFFFF);
}

/*
 * The raw state after A and B, from the state after A and the raw state of B alone begun at 0, len_b bytes long. This joins
 * the two halves of a record that lies in two segments, each of which was read on its own.
 */
uint32_t crc32c_combine(uint32_t a, uint32_t b, uint64_t len_b);

#endif
