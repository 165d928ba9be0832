/*
 * Functions that this house does not use, made errors. The build includes this file ahead of every source, after the
 * system headers that declare them.
 */
#ifndef PGCAIRN_BASE_BANNED_H
#define PGCAIRN_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <alloca.h>

#undef alloca
#pragma GCC poison strcpy strcat sprintf vsprintf atoi atol atoll strtok alloca gets system tmpnam mktemp

#endif
