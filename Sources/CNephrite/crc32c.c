#include "nephrite_crc32c.h"
