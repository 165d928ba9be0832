#include "cli/exit_code.h"

#include "base/err.h"

int
exit_code_of(int kind)
{
	switch (kind) {
	case 0:
		return EXIT_DONE;
	case ERR_CONFIG:
		return EXIT_USAGE;
	case ERR_CONFLICT:
	case ERR_REFUSED:
		return EXIT_REFUSED;
	default:
		return EXIT_FAILED;
	}
}
