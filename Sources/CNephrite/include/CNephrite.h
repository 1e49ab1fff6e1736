// The C target's public face: CRC-32C, XXH64, float kernels and the system calls that Swift's Glibc import lacks.
#ifndef CNEPHRITE_H
#define CNEPHRITE_H
#include "nephrite_code_search.h"
#include "nephrite_codes.h"
#include "nephrite_crc32c.h"
#include "nephrite_hash.h"
#include "nephrite_kernels.h"
#include "nephrite_memory.h"
#include "nephrite_syscalls.h"
#endif
