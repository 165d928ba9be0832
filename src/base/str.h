/* Text helpers: checked number parsing, hex, base64. Nothing here allocates unless it says so. */
#ifndef PGCAIRN_BASE_STR_H
#define PGCAIRN_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A whole decimal number within lo..hi, nothing before or behind it. False when it is not. */
bool str_to_u64(const char *text, uint64_t lo, uint64_t hi, uint64_t *out);
/* Exactly n hex digits, upper or lower case. */
bool str_hex_to_u64(const char *text, size_t n, uint64_t *out);

/* 2*len digits and a NUL; lower case. */
void str_to_hex(char *out, const uint8_t *data, size_t len);
/* Exactly 2*len digits to len bytes. */
bool str_from_hex(const char *text, uint8_t *out, size_t len);

/* "16MB", "1GB", "512kB", "8192": PostgreSQL's units, powers of 1024. */
bool str_to_size(const char *text, uint64_t *out);
/* "30s", "5min", "12h", "14d", "500ms": to milliseconds. A bare number is refused. */
bool str_to_duration_ms(const char *text, int64_t *out);
/* 1.5 MB, 23 kB, ...: for people. out needs 16 bytes. */
void str_from_size(char *out, size_t size, uint64_t bytes);

bool str_starts(const char *text, const char *prefix);
bool str_ends(const char *text, const char *suffix);

/* A new string; NULL when memory is out. */
char *str_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* In single quotes for a POSIX shell; a new string, NULL when memory is out. */
char *str_shell_quote(const char *text);

/*
 * Bytes that a terminal obeys become '?', all but newline: what other hosts wrote must not move a cursor or retitle a
 * window. UTF-8 stays as it is.
 */
void str_disarm(char *text, size_t len);

/* Copies with a NUL; ERR_CONFIG naming what when it does not fit: nothing is ever cut. */
int str_copy(char *out, size_t size, const char *text, const char *what, struct err *err);

#endif
