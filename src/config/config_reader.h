/*
 * Config files, one after the other, to a struct config. For config.c, the tests and the fuzzer; the others use config_load.
 *
 * inih takes the lines apart. It also cuts long lines, joins continuation lines, drops what follows a section's bracket and
 * says nothing of duplicates, so it is given one checked line at a time and never sees what it would treat so.
 *
 * err is never NULL here.
 */
#ifndef PGCAIRN_CONFIG_CONFIG_READER_H
#define PGCAIRN_CONFIG_CONFIG_READER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/config.h"

#define CONFIG_FILE_MAX ((size_t)1 << 20)
#define CONFIG_LINE_MAX 4000    /* inih's own limit, which it tells when it reads, is lower: 198 in Debian's build */
#define CONFIG_SECTIONS_MAX 500 /* over all files */

struct config_reader;

int config_reader_new(struct config_reader **out, struct err *err);
void config_reader_free(struct config_reader *r); /* NULL is fine */

/* One file; its name stands in messages only. After an error the reader can only be freed. */
int config_reader_add(struct config_reader *r, const char *file, const void *text, size_t len, struct err *err);

/* Check what the files say together and hand the config over. */
int config_reader_finish(struct config_reader *r, struct config **out, struct err *err);

/* All three for one text. */
int config_parse_text(struct config **out, const char *file, const void *text, size_t len, struct err *err);

/* Fills acknowledge from acknowledge_words and the repositories. ERR_CONFIG, without a place. */
int acknowledge_resolve(struct config *cfg, struct err *err);

#endif
