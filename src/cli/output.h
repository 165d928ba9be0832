/* Results on standard output, checked: a report that could not be written is a failure. */
#ifndef PGCAIRN_CLI_OUTPUT_H
#define PGCAIRN_CLI_OUTPUT_H

#include "base/buf.h"
#include "base/json.h"

int output_text(struct buf *text, struct err *err);

/* One JSON document, indented, with a newline. */
int output_json(const json_t *o, struct err *err);

#endif
