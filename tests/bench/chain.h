/*
 * Whole chains: what one WAL segment or one stretch of a base backup costs when every byte is checked, named, compressed,
 * encrypted and digested.
 */
#ifndef PGCAIRN_BENCH_CHAIN_H
#define PGCAIRN_BENCH_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Prints the table for these bytes, cut into frames of PIECE. False after a line on standard error. */
bool chain_table(const uint8_t *data, size_t len);

#endif
