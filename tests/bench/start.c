/*
 * The smallest program of its kind, compiled several times: what a process pays before its first own line when it is linked
 * against (LINK_*) or initialises (INIT_*) a library. The two commands that PostgreSQL runs for every segment pay it each time.
 */
#include <stddef.h>

#if defined(LINK_CORE) || defined(INIT_SODIUM)
#include <lz4.h>
#include <sodium.h>
#include <zstd.h>
#endif
#if defined(LINK_CRYPTO) || defined(INIT_CRYPTO)
#include <openssl/evp.h>
#endif
#if defined(LINK_CURL) || defined(INIT_CURL)
#include <curl/curl.h>
#endif

/* Never called: with these references the linker keeps the libraries. */
static int
references(void)
{
	int sum = 1;

#if defined(LINK_CORE) || defined(INIT_SODIUM)
	sum += LZ4_versionNumber() + (int)ZSTD_versionNumber() + sodium_library_version_major();
#endif
#if defined(LINK_CRYPTO) || defined(INIT_CRYPTO)
	sum += EVP_MD_get_size(EVP_sha256());
#endif
#if defined(LINK_CURL) || defined(INIT_CURL)
	sum += curl_version() == NULL;
#endif
	return sum;
}

int
main(int argc, char **argv)
{
	(void)argv;
	if (argc > 100)
		return references();
#ifdef INIT_SODIUM
	if (sodium_init() < 0)
		return 1;
#endif
#ifdef INIT_CRYPTO
	EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);

	if (md == NULL)
		return 1;
	EVP_MD_free(md);
#endif
#ifdef INIT_CURL
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return 1;
#endif
	return 0;
}
