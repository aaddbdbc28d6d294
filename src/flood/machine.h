#ifndef FLOOD_MACHINE_H
#define FLOOD_MACHINE_H
/*
 * Machine: an id of this machine that is herd's alone, derived from machine-id(5), which must not
 * leave the machine itself. The same with and without libsystemd.
 */
#include <stdint.h>

enum { MACHINE_ID_BYTES = 16 };

/* Negative errno: the machine has no id, or none that can be read. */
int machine_id(uint8_t ret[MACHINE_ID_BYTES]);

#endif
