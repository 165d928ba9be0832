/*
 * What is said over the agent's socket (SOCK_STREAM, Unix): a request, an answer, the end. Each message is a header of 16 bytes
 * and a JSON object:
 *
 *   0  8  "PGCAIRNA"
 *   8  2  protocol version, little-endian
 *  10  2  enum agent_message
 *  12  4  length of the object, at most AGENT_MESSAGE_MAX
 *
 * Whoever reads another version says AGENT_ELSEWHERE in its own and closes: the other side goes the direct way. Both sides
 * belong to one user, which each proves to the other by the socket's peer credentials; what comes in is parsed as hostile all
 * the same.
 */
#ifndef PGCAIRN_AGENT_PROTOCOL_H
#define PGCAIRN_AGENT_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/json.h"
#include "config/config.h"
#include "pg/lsn.h"

#define AGENT_VERSION 1
#define AGENT_HEADER 16
#define AGENT_MESSAGE_MAX ((size_t)1 << 20)

enum agent_message {
	AGENT_ARCHIVE = 1,  /* {cluster, name, file, configuration}: is this file durable? the answer comes when it is */
	AGENT_STATUS = 2,   /* {}: how are things? */
	AGENT_WORKING = 15, /* {}: a word of life when the answer takes its time; another one follows */
	AGENT_DURABLE = 16,
	AGENT_FAILED = 17,    /* {kind, message, hint}: the direct way would have said the same */
	AGENT_ELSEWHERE = 18, /* {why}: go the direct way */
	AGENT_REPORT = 19,    /* the answer to AGENT_STATUS */
};

/* Which bytes: a file that was changed or replaced since is another one. */
struct file_identity {
	uint64_t device, inode, size;
	int64_t modified_ns, changed_ns;
};
void file_identity_of(struct file_identity *out, const struct stat *st);
bool file_identity_same(const struct file_identity *a, const struct file_identity *b);

struct agent_request {
	char cluster[CONFIG_NAME_MAX + 1];
	char name[WAL_NAME_MAX];
	struct file_identity file;
	uint64_t configuration; /* agent_configuration() */
};

/*
 * What the files of the configuration say, and which files of keys they name, as they are now. Two processes that have the same
 * one give the same answers.
 */
uint64_t agent_configuration(const struct config *cfg);

/* The socket of a configuration. ERR_CONFIG when the path is longer than a socket's may be. */
int agent_address(const struct config *cfg, struct sockaddr_un *out, struct err *err);

/* 0 when the other end of the socket is of this process's user, or root; else ERR_REFUSED, or ERR_IO when nobody can say. */
int agent_check_peer(int fd, struct err *err);

/* Header and object, appended to out. */
int agent_message_encode(enum agent_message type, const json_t *body, struct buf *out, struct err *err);

/* ERR_CORRUPT: not a message of ours; ERR_REFUSED: one of another version, or too long. */
int agent_header_decode(const uint8_t header[AGENT_HEADER], enum agent_message *type, uint32_t *len, struct err *err);

/* A message without members. */
int agent_word_encode(enum agent_message type, struct buf *out, struct err *err);

int agent_request_encode(const struct agent_request *r, struct buf *out, struct err *err);
int agent_request_decode(struct agent_request *r, const void *text, size_t len, struct err *err);

int agent_failure_encode(const struct err *failure, struct buf *out, struct err *err);
int agent_failure_decode(struct err *failure, const void *text, size_t len, struct err *err);

#endif
