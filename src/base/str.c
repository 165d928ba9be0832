#include "base/str.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>

#include "base/scope.h"

bool
str_to_u64(const char *text, uint64_t lo, uint64_t hi, uint64_t *out)
{
	uint64_t v = 0;

	if (*text == '\0')
		return false;
	for (const char *p = text; *p != '\0'; p++) {
		uint64_t d = (uint64_t)(unsigned char)*p - '0';

		if (d > 9 || v > (UINT64_MAX - d) / 10)
			return false;
		v = v * 10 + d;
	}
	if (v < lo || v > hi)
		return false;
	*out = v;
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
str_hex_to_u64(const char *text, size_t n, uint64_t *out)
{
	uint64_t v = 0;

	if (n == 0 || n > 16)
		return false;
	for (size_t i = 0; i < n; i++) {
		int d = hex_digit(text[i]);

		if (d < 0)
			return false;
		v = v << 4 | (uint64_t)d;
	}
	*out = v;
	return true;
}

void
str_to_hex(char *out, const uint8_t *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[data[i] >> 4];
		out[2 * i + 1] = digits[data[i] & 15];
	}
	out[2 * len] = '\0';
}

bool
str_from_hex(const char *text, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int hi = hex_digit(text[2 * i]);
		int lo = hi < 0 ? -1 : hex_digit(text[2 * i + 1]);

		if (lo < 0)
			return false;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return text[2 * len] == '\0';
}

struct unit {
	const char *name;
	uint64_t factor;
};

/* A number and one of the units; a bare number counts where the first unit's name is empty. */
static bool
with_unit(const char *text, const struct unit *units, size_t n_units, uint64_t *out)
{
	char number[24];
	size_t n = strspn(text, "0123456789");
	uint64_t v;

	if (n == 0 || n >= sizeof(number))
		return false;
	memcpy(number, text, n);
	number[n] = '\0';
	if (!str_to_u64(number, 0, UINT64_MAX, &v))
		return false;
	for (text += n; *text == ' '; text++)
		;
	for (size_t i = 0; i < n_units; i++) {
		if (strcmp(text, units[i].name) != 0)
			continue;
		if (v > (uint64_t)INT64_MAX / units[i].factor)
			return false;
		*out = v * units[i].factor;
		return true;
	}
	return false;
}

bool
str_to_size(const char *text, uint64_t *out)
{
	static const struct unit units[] = {
	    {"", 1}, {"B", 1}, {"kB", 1024}, {"MB", 1024 * 1024}, {"GB", UINT64_C(1) << 30}, {"TB", UINT64_C(1) << 40}};

	return with_unit(text, units, ARRAY_LEN(units), out);
}

bool
str_to_duration_ms(const char *text, int64_t *out)
{
	static const struct unit units[] = {
	    {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600 * 1000}, {"d", 86400 * 1000}, {"w", UINT64_C(604800) * 1000}};
	uint64_t v;

	if (!with_unit(text, units, ARRAY_LEN(units), &v))
		return false;
	*out = (int64_t)v;
	return true;
}

void
str_from_size(char *out, size_t size, uint64_t bytes)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	double v = (double)bytes;
	size_t i = 0;

	while (v >= 1024 && i + 1 < ARRAY_LEN(units)) {
		v /= 1024;
		i++;
	}
	if (i == 0)
		(void)snprintf(out, size, "%" PRIu64 " B", bytes);
	else
		(void)snprintf(out, size, "%.1f %s", v, units[i]);
}

bool
str_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool
str_ends(const char *text, const char *suffix)
{
	size_t n = strlen(text), m = strlen(suffix);

	return n >= m && memcmp(text + n - m, suffix, m) == 0;
}

char *
str_printf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : s;
}

char *
str_shell_quote(const char *text)
{
	size_t quotes = 0;
	char *out, *o;

	for (const char *p = text; *p != '\0'; p++)
		quotes += *p == '\'';
	out = o = malloc(strlen(text) + quotes * 3 + 3);
	if (out == NULL)
		return NULL;
	*o++ = '\'';
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\'') {
			memcpy(o, "'\\''", 4);
			o += 4;
		} else {
			*o++ = *p;
		}
	}
	*o++ = '\'';
	*o = '\0';
	return out;
}

int
str_copy(char *out, size_t size, const char *text, const char *what, struct err *err)
{
	size_t n = strlen(text);

	if (n >= size)
		return err_set(err, ERR_CONFIG, 0, "%s is longer than %zu bytes: '%.40s...'", what, size - 1, text);
	memcpy(out, text, n + 1);
	return 0;
}

void
str_disarm(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c < 0x20 && c != '\n') || c == 0x7f)
			text[i] = '?';
	}
}
