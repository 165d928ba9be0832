/* The inside of struct config_reader: which section and key came from which line. For config_reader.c and config_check.c. */
#ifndef PGCAIRN_CONFIG_CONFIG_PLACES_H
#define PGCAIRN_CONFIG_CONFIG_PLACES_H

#include "config/config_reader.h"
#include "config/option.h"

struct config_section {
	enum option_section kind;
	size_t index; /* of the cluster or repository */
	char *file;
	unsigned line;
	unsigned lines[OPTION_ROWS_MAX]; /* of each key by its row, 0 when it is not set */
};

struct config_reader {
	struct config *cfg;
	struct config_section *sections;
	size_t n_sections;
	char *main_file; /* the first one */

	/* while a file is read */
	const char *file;
	const char *rest;
	unsigned line;
	struct config_section *now;
	int rc;
	struct err *err;
};

/* The struct that the offsets of a section's rows count from. */
void *config_object(struct config *cfg, const struct config_section *s);

#endif
