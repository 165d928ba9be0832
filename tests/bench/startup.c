/*
 * startup PROGRAM...: what keys cost once an epoch and an object, and what it takes to start each of the programs and wait
 * for its end. Times are microseconds, the median of 200.
 */
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sodium.h>

#include "measure.h"

#define RUNS 200
#define REPEAT 50 /* of an operation within one run, so that the clock's own cost does not count */

extern char **environ;

struct keys {
	uint8_t box_public[crypto_box_PUBLICKEYBYTES];
	uint8_t box_secret[crypto_box_SECRETKEYBYTES];
	uint8_t sign_public[crypto_sign_PUBLICKEYBYTES];
	uint8_t sign_secret[crypto_sign_SECRETKEYBYTES];
	uint8_t object_key[32];
	uint8_t sealed[32 + crypto_box_SEALBYTES];
	uint8_t signature[crypto_sign_BYTES];
	uint8_t message[1024]; /* a segment's header, frame digests and parts come to about this much */
};

static bool
make_pair(void *arg)
{
	struct keys *k = arg;
	int rc = 0;

	for (int i = 0; i < REPEAT; i++)
		rc |= crypto_box_keypair(k->box_public, k->box_secret);
	return rc == 0;
}

static bool
seal_key(void *arg)
{
	struct keys *k = arg;
	int rc = 0;

	for (int i = 0; i < REPEAT; i++)
		rc |= crypto_box_seal(k->sealed, k->object_key, sizeof(k->object_key), k->box_public);
	return rc == 0;
}

static bool
open_key(void *arg)
{
	struct keys *k = arg;
	uint8_t opened[32];
	int rc = 0;

	for (int i = 0; i < REPEAT; i++)
		rc |= crypto_box_seal_open(opened, k->sealed, sizeof(k->sealed), k->box_public, k->box_secret);
	return rc == 0 && memcmp(opened, k->object_key, sizeof(opened)) == 0;
}

static bool
sign_message(void *arg)
{
	struct keys *k = arg;
	int rc = 0;

	for (int i = 0; i < REPEAT; i++)
		rc |= crypto_sign_detached(k->signature, NULL, k->message, sizeof(k->message), k->sign_secret);
	return rc == 0;
}

static bool
verify_message(void *arg)
{
	struct keys *k = arg;
	int rc = 0;

	for (int i = 0; i < REPEAT; i++)
		rc |= crypto_sign_verify_detached(k->signature, k->message, sizeof(k->message), k->sign_public);
	return rc == 0;
}

static bool
start_and_wait(void *arg)
{
	char *path = arg;
	char *argv[] = {path, NULL};
	pid_t pid;
	int status;

	return posix_spawn(&pid, path, NULL, NULL, argv, environ) == 0 && waitpid(pid, &status, 0) == pid &&
	       WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void
print_row(const char *name, struct spread t, double each)
{
	printf("| %s | %.1f | %.1f | %.1f |\n", name, t.median * 1e6 / each, t.best * 1e6 / each, t.worst * 1e6 / each);
}

/* sodium_init works once a process, so each run is a child that reports its own time. Call it before sodium_init. */
static bool
print_sodium_init(void)
{
	double took[RUNS];

	for (int i = 0; i < RUNS; i++) {
		int ends[2];
		pid_t pid;
		bool ok;

		if (pipe(ends) < 0 || (pid = fork()) < 0)
			return false;
		if (pid == 0) {
			double start = measure_now();
			int rc = sodium_init();
			double end = measure_now() - start;

			_exit(rc == 0 && write(ends[1], &end, sizeof(end)) == (ssize_t)sizeof(end) ? 0 : 1);
		}
		(void)close(ends[1]);
		ok = read(ends[0], &took[i], sizeof(took[i])) == (ssize_t)sizeof(took[i]);
		(void)close(ends[0]);
		if (waitpid(pid, NULL, 0) != pid || !ok)
			return false;
	}
	print_row("sodium_init, first in a process", measure_spread(took, RUNS), 1);
	return true;
}

static bool
print_us(const char *name, bool (*work)(void *arg), void *arg, double each)
{
	struct spread t;

	if (!measure(work, arg, RUNS, &t)) {
		fprintf(stderr, "bench: '%s' failed\n", name);
		return false;
	}
	print_row(name, t, each);
	return true;
}

int
main(int argc, char **argv)
{
	struct keys k = {0};
	struct keys *all = &k;
	const struct {
		const char *name;
		bool (*work)(void *arg);
	} rows[] = {
	    {"X25519 key pair (crypto_box_keypair)", make_pair},
	    {"seal an object key (crypto_box_seal, 32 bytes)", seal_key},
	    {"open it (crypto_box_seal_open)", open_key},
	    {"Ed25519 signature over 1 KiB", sign_message},
	    {"Ed25519 verification of 1 KiB", verify_message},
	};

	printf("| what | us | best | worst |\n|---|---:|---:|---:|\n");
	(void)fflush(stdout); /* the children must not print it again */
	if (!print_sodium_init() || sodium_init() < 0 || crypto_sign_keypair(k.sign_public, k.sign_secret) != 0)
		return 1;
	randombytes_buf(k.object_key, sizeof(k.object_key));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!print_us(rows[i].name, rows[i].work, all, REPEAT))
			return 1;
	}
	for (int i = 1; i < argc; i++) {
		const char *slash = strrchr(argv[i], '/');
		char name[128];

		(void)snprintf(name, sizeof(name), "start and end of `%s`", slash != NULL ? slash + 1 : argv[i]);
		if (!print_us(name, start_and_wait, argv[i], 1))
			return 1;
	}
	return 0;
}
