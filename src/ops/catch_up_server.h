/*
 * Segments for catch_up from the server's own pg_wal, as long as it has them: encoded anew for the one repository that lacks
 * them, which asks nothing of the others.
 */
#ifndef PGCAIRN_OPS_CATCH_UP_SERVER_H
#define PGCAIRN_OPS_CATCH_UP_SERVER_H

#include "codec/content_id.h"
#include "codec/object_writer.h"
#include "ops/op.h"

struct catch_up_server {
	const struct op *op; /* with a pgdata */
	struct writer *writer;
	struct repository *target;
	struct object_slots *slots; /* may be NULL */
};

/* As struct catch_up_round wants it, for who has this struct at hand. */
int catch_up_server_segment(
    const struct catch_up_server *s, const char *file_name, const uint8_t content_id[CONTENT_ID], struct err *err);

#endif
