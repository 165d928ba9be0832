#include "agent/protocol.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/str.h"

static const char magic[8] = "PGCAIRNA";

void
file_identity_of(struct file_identity *out, const struct stat *st)
{
	*out = (struct file_identity){
	    .device = st->st_dev,
	    .inode = st->st_ino,
	    .size = (uint64_t)st->st_size,
	    .modified_ns = st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec,
	    .changed_ns = st->st_ctim.tv_sec * INT64_C(1000000000) + st->st_ctim.tv_nsec,
	};
}

bool
file_identity_same(const struct file_identity *a, const struct file_identity *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size && a->modified_ns == b->modified_ns &&
	       a->changed_ns == b->changed_ns;
}

uint64_t
agent_configuration(const struct config *cfg)
{
	const char *const keys[] = {cfg->recipients_file, cfg->comparison_key, cfg->signers_file, cfg->signing_key};
	struct file_identity files[ARRAY_LEN(keys)];

	memset(files, 0, sizeof(files));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct stat st;

		if (stat(keys[i], &st) == 0)
			file_identity_of(&files[i], &st);
	}
	return XXH3_64bits_withSeed(files, sizeof(files), cfg->digest);
}

int
agent_address(const struct config *cfg, struct sockaddr_un *out, struct err *err)
{
	int n;

	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	n = snprintf(out->sun_path, sizeof(out->sun_path), "%s/agent.sock", cfg->run_directory);
	if (n > 0 && (size_t)n < sizeof(out->sun_path))
		return 0;
	err_set(err, ERR_CONFIG, 0, "the run directory '%.200s' is too long for a socket in it", cfg->run_directory);
	return err_hint(err, "run-directory in [pgcairn]: at most %zu bytes", sizeof(out->sun_path) - sizeof("/agent.sock"));
}

int
agent_check_peer(int fd, struct err *err)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return err_set(err, ERR_IO, errno, "ask whose process the other end is");
	if (peer.uid == geteuid() || peer.uid == 0)
		return 0;
	return err_set(err, ERR_REFUSED, 0, "the other end belongs to user %u, this process to %u", peer.uid, geteuid());
}

int
agent_message_encode(enum agent_message type, const json_t *body, struct buf *out, struct err *err)
{
	BUF_AUTO struct buf text = {.max = AGENT_MESSAGE_MAX};
	uint8_t header[AGENT_HEADER];
	int rc = json_write(body, &text, err);

	if (rc < 0)
		return rc;
	memcpy(header, magic, sizeof(magic));
	le16_put(header + 8, AGENT_VERSION);
	le16_put(header + 10, (uint16_t)type);
	le32_put(header + 12, (uint32_t)text.len);
	rc = buf_append(out, header, sizeof(header), err);
	return rc < 0 ? rc : buf_append(out, text.data, text.len, err);
}

int
agent_word_encode(enum agent_message type, struct buf *out, struct err *err)
{
	JSON_AUTO json_t *o = json_object();

	return o == NULL ? err_set(err, ERR_NOMEM, 0, "out of memory for a message") : agent_message_encode(type, o, out, err);
}

int
agent_header_decode(const uint8_t header[AGENT_HEADER], enum agent_message *type, uint32_t *len, struct err *err)
{
	unsigned version = le16_get(header + 8);

	if (memcmp(header, magic, sizeof(magic)) != 0)
		return err_set(err, ERR_CORRUPT, 0, "not a message of the agent's protocol");
	*type = (enum agent_message)le16_get(header + 10);
	*len = le32_get(header + 12);
	if (version != AGENT_VERSION)
		return err_set(
		    err, ERR_REFUSED, 0, "the other side speaks version %u of the protocol, not %d", version, AGENT_VERSION);
	if (*len > AGENT_MESSAGE_MAX)
		return err_set(err, ERR_REFUSED, 0, "a message of %" PRIu32 " bytes", *len);
	return 0;
}

static json_t *
identity_json(const struct file_identity *f)
{
	/* strings: a device or inode may use all 64 bits, which a JSON integer of jansson's does not have */
	char device[24], inode[24];

	(void)snprintf(device, sizeof(device), "%" PRIu64, f->device);
	(void)snprintf(inode, sizeof(inode), "%" PRIu64, f->inode);
	return json_pack("{ss ss sI sI sI}", "device", device, "inode", inode, "size", (json_int_t)f->size, "modified_ns",
	    (json_int_t)f->modified_ns, "changed_ns", (json_int_t)f->changed_ns);
}

static int
get_u64_text(const json_t *o, const char *member, uint64_t *out, struct err *err)
{
	const char *text;
	int rc = json_get_str(o, member, &text, err);

	if (rc == 0 && !str_to_u64(text, 0, UINT64_MAX, out))
		rc = err_set(err, ERR_CORRUPT, 0, "'%s' is not a number", member);
	return rc;
}

static int
identity_parse(struct file_identity *f, const json_t *o, struct err *err)
{
	int rc = get_u64_text(o, "device", &f->device, err);

	if (rc == 0)
		rc = get_u64_text(o, "inode", &f->inode, err);
	if (rc == 0)
		rc = json_get_u64(o, "size", 0, INT64_MAX, &f->size, err);
	if (rc == 0)
		rc = json_get_i64(o, "modified_ns", &f->modified_ns, err);
	if (rc == 0)
		rc = json_get_i64(o, "changed_ns", &f->changed_ns, err);
	return rc;
}

int
agent_request_encode(const struct agent_request *r, struct buf *out, struct err *err)
{
	char configuration[24];
	JSON_AUTO json_t *o = NULL;

	(void)snprintf(configuration, sizeof(configuration), "%" PRIu64, r->configuration);
	o = json_pack("{ss ss so ss}", "cluster", r->cluster, "name", r->name, "file", identity_json(&r->file), "configuration",
	    configuration);
	if (o == NULL)
		return err_set(err, ERR_NOMEM, 0, "out of memory for a request");
	return agent_message_encode(AGENT_ARCHIVE, o, out, err);
}

int
agent_request_decode(struct agent_request *r, const void *text, size_t len, struct err *err)
{
	JSON_AUTO json_t *o = NULL;
	const char *cluster, *name;
	struct wal_name parsed;
	int rc = json_read(&o, text, len, "request", err);

	memset(r, 0, sizeof(*r));
	if (rc == 0)
		rc = json_get_str(o, "cluster", &cluster, err);
	if (rc == 0)
		rc = str_copy(r->cluster, sizeof(r->cluster), cluster, "cluster name", err);
	if (rc == 0)
		rc = json_get_str(o, "name", &name, err);
	if (rc == 0 && !wal_name_parse(name, &parsed))
		rc = err_set(err, ERR_CORRUPT, 0, "a request for what is not the name of a WAL file");
	if (rc == 0)
		wal_name_format(r->name, &parsed);
	if (rc == 0)
		rc = get_u64_text(o, "configuration", &r->configuration, err);
	return rc < 0 ? rc : identity_parse(&r->file, json_object_get(o, "file"), err);
}

int
agent_failure_encode(const struct err *failure, struct buf *out, struct err *err)
{
	JSON_AUTO json_t *o = json_object();

	if (o == NULL || json_object_set_new(o, "kind", json_integer(failure->kind)) < 0 ||
	    json_object_set_new(o, "message", json_text(failure->msg)) < 0 ||
	    json_object_set_new(o, "hint", json_text(failure->hint)) < 0)
		return err_set(err, ERR_NOMEM, 0, "out of memory for an answer");
	return agent_message_encode(AGENT_FAILED, o, out, err);
}

int
agent_failure_decode(struct err *failure, const void *text, size_t len, struct err *err)
{
	JSON_AUTO json_t *o = NULL;
	const char *message, *hint;
	int64_t kind;
	int rc = json_read(&o, text, len, "answer", err);

	if (rc == 0)
		rc = json_get_i64(o, "kind", &kind, err);
	if (rc == 0)
		rc = json_get_str(o, "message", &message, err);
	if (rc == 0)
		rc = json_get_str(o, "hint", &hint, err);
	if (rc == 0 && (kind > ERR_NOT_FOUND || kind < ERR_BUG))
		rc = err_set(err, ERR_CORRUPT, 0, "an answer with an error of a kind that there is not");
	if (rc < 0)
		return rc;
	memset(failure, 0, sizeof(*failure));
	failure->kind = (int)kind;
	(void)snprintf(failure->msg, sizeof(failure->msg), "%s", message);
	(void)snprintf(failure->hint, sizeof(failure->hint), "%s", hint);
	return 0;
}
