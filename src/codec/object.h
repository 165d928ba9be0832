/*
 * The stored form of every object: header, frames, frame table, clear part, sealed part, signature, tail.
 * docs/repository-format.md is the byte-for-byte description; this header and that page change together.
 *
 *   header        magic, version, kind, codec, cipher, features, cluster, key id, name, sealed object key
 *   frames        each at most OBJECT_FRAME plain bytes: digest(encrypt(compress(plain)))
 *   frame table   40 bytes a frame: stored length, encoding, BLAKE2b-256 of the stored bytes
 *   clear part    JSON that a store's operator can read: content id, positions, times, needs
 *   sealed part   JSON for key holders; encrypted as frame OBJECT_SEALED_FRAME
 *   signature     Ed25519 over the root: header, table, both parts and the lengths
 *   tail          80 bytes: the lengths and the object digest
 *
 * Frame i holds plain bytes i*OBJECT_FRAME ..; only the last is shorter. So a plain offset is a frame and a place in it.
 *
 * The frame digests make one strong pass over the stored bytes, in parallel; root and object digest are taken over them
 * and never over the bytes again. An object without frames (a record) carries everything in its clear part.
 */
#ifndef PGCAIRN_CODEC_OBJECT_H
#define PGCAIRN_CODEC_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define OBJECT_VERSION 0
#define OBJECT_FRAME ((size_t)1 << 20)
#define OBJECT_FRAME_SHIFT 20
#define OBJECT_FRAMES_MAX 16384 /* 16 GiB of plain bytes in one object */
#define OBJECT_NAME_MAX 256     /* NUL included */
#define OBJECT_DIGEST 32
#define OBJECT_KEY 32
#define OBJECT_KEY_ID 16
#define OBJECT_CLUSTER 16
#define OBJECT_SEALED_KEY_MAX 1024
#define OBJECT_HEADER_FIXED 64
#define OBJECT_HEADER_MAX (OBJECT_HEADER_FIXED + OBJECT_NAME_MAX + OBJECT_SEALED_KEY_MAX)
#define OBJECT_TABLE_ENTRY 40
#define OBJECT_TAIL 80
#define OBJECT_SIGNATURE 104               /* type, 7 zero bytes, public key, signature */
#define OBJECT_PART_MAX ((size_t)16 << 20) /* each of clear and sealed part */
#define OBJECT_TAG 16
#define OBJECT_FRAME_STORED_MAX (OBJECT_FRAME + OBJECT_TAG)
#define OBJECT_SEALED_FRAME UINT64_MAX

enum object_kind {
	OBJECT_WAL = 1,              /* a complete segment */
	OBJECT_WAL_PARTIAL = 2,      /* the last segment of a timeline that was left */
	OBJECT_BACKUP_HISTORY = 3,   /* ... .backup */
	OBJECT_TIMELINE_HISTORY = 4, /* ... .history */
	OBJECT_PACK = 5,
	OBJECT_MANIFEST = 6,
	OBJECT_EPOCH_KEY = 7,  /* the private half of an epoch key, sealed to the recipients */
	OBJECT_RECORD = 8,     /* lineage, recipients, signers, ... */
	OBJECT_QUARANTINE = 9, /* a file of WAL that was given up, kept as it was found */
	OBJECT_WAL_INDEX = 10, /* what a row of segments says of itself */
};

enum object_codec { OBJECT_CODEC_NONE = 0, OBJECT_CODEC_LZ4 = 1, OBJECT_CODEC_ZSTD = 2 };
enum object_cipher { OBJECT_CIPHER_NONE = 0, OBJECT_CIPHER_XCHACHA20POLY1305 = 1 };

struct object_header {
	uint8_t kind;
	uint8_t codec; /* what frames may be compressed with; each says whether it is */
	uint8_t cipher;
	uint64_t features; /* bits that a reader must know; none yet */
	uint8_t cluster[OBJECT_CLUSTER];
	uint8_t key_id[OBJECT_KEY_ID]; /* of the epoch key; zero without cipher */
	char name[OBJECT_NAME_MAX];    /* relative to the cluster's folder, canonical */
	uint16_t sealed_key_len;
	uint8_t sealed_key[OBJECT_SEALED_KEY_MAX]; /* stanza: type, 0, length (2), bytes */
};

struct object_frame {
	uint32_t stored;  /* bytes */
	uint8_t encoding; /* enum object_codec */
	uint64_t offset;  /* in the object; derived */
	uint8_t digest[OBJECT_DIGEST];
};

/* Header bytes with the lengths filled in. *len is at most OBJECT_HEADER_MAX. */
int object_header_encode(const struct object_header *h, uint8_t out[OBJECT_HEADER_MAX], size_t *len, struct err *err);
/* From at least *len bytes; says in *len how many the header takes. ERR_CORRUPT, or ERR_CONFIG for a newer version or feature.
 */
int object_header_decode(struct object_header *h, const uint8_t *data, size_t have, size_t *len, struct err *err);

/* What binds a frame to its place: the associated data of its encryption. */
struct object_frame_context {
	const uint8_t *header_digest; /* OBJECT_DIGEST bytes */
	const uint8_t *key;           /* OBJECT_KEY bytes; NULL without cipher */
	uint8_t codec;
	uint64_t number;
	bool last;
};

/*
 * compress -> encrypt of one frame; its digest is that of what comes out (object_hash_many), and is not made here because
 * several at once cost less. out has room for OBJECT_FRAME_STORED_MAX bytes. codec_state: memory that is kept between calls,
 * start with NULL.
 */
int object_frame_seal(const struct object_frame_context *c, const uint8_t *plain, size_t len, uint8_t *out,
    struct object_frame *frame, void **codec_state, struct err *err);
void object_codec_state_free(void *codec_state);

/*
 * The way back: digest -> decrypt -> decompress. First the digests of up to OBJECT_HASH_LANES frames that stand one behind the
 * other in stored, the first of them with this number; ERR_CORRUPT for the first that differs.
 */
int object_digests_check(uint64_t first, const struct object_frame *frames, size_t n, const uint8_t *stored, struct err *err);

/*
 * Then each frame whose digest is right. want is the plain length that must come out. What stands in stored behind it is not
 * what was there before: it is decrypted in place.
 */
int object_frame_open(const struct object_frame_context *c, const struct object_frame *frame, uint8_t *stored, uint8_t *plain,
    size_t want, struct err *err);

/* The parts' AEAD (cipher none: a copy). plain + OBJECT_TAG bytes when encrypted. */
int object_part_seal(const struct object_frame_context *c, const void *plain, size_t len, struct buf *out, struct err *err);
int object_part_open(const struct object_frame_context *c, const void *stored, size_t len, struct buf *out, struct err *err);

/* Root and object digest from what the lengths and digests say. */
struct object_lengths {
	uint32_t header, frames, clear, sealed, signature;
	uint64_t frame_bytes; /* stored bytes of all frames */
	uint64_t plain;       /* plain bytes of all frames */
};
void object_root(uint8_t out[OBJECT_DIGEST], const uint8_t header_digest[OBJECT_DIGEST], const uint8_t *table,
    const void *clear, const void *sealed, const struct object_lengths *l);
void object_digest(uint8_t out[OBJECT_DIGEST], const uint8_t root[OBJECT_DIGEST], const uint8_t *signature, size_t len);
void object_table_entry(uint8_t out[OBJECT_TABLE_ENTRY], const struct object_frame *f);
void object_tail_encode(uint8_t out[OBJECT_TAIL], const struct object_lengths *l, const uint8_t digest[OBJECT_DIGEST]);
int object_tail_decode(struct object_lengths *l, uint8_t digest[OBJECT_DIGEST], const uint8_t *data, struct err *err);

void object_signature_make(uint8_t out[OBJECT_SIGNATURE], const uint8_t root[OBJECT_DIGEST], const uint8_t *secret_key);
/* ERR_CORRUPT when it does not verify; *signer is the public key inside. Whether that key is trusted is the caller's to say. */
int object_signature_check(
    const uint8_t sig[OBJECT_SIGNATURE], const uint8_t root[OBJECT_DIGEST], uint8_t signer[32], struct err *err);

/* 32 bytes of BLAKE2b. */
void object_hash(uint8_t out[OBJECT_DIGEST], const void *data, size_t len);

/* The same of several buffers; up to OBJECT_HASH_LANES cost little more than the longest of them. */
#define OBJECT_HASH_LANES 4
struct object_hash_job {
	const uint8_t *data;
	size_t len;
	uint8_t *out; /* OBJECT_DIGEST bytes */
};
void object_hash_many(const struct object_hash_job *jobs, size_t n);

const char *object_kind_name(uint8_t kind);

#endif
