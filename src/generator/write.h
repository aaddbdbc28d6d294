#ifndef GENERATOR_WRITE_H
#define GENERATOR_WRITE_H
/*
 * Writing a plan below a folder: whole files or none, whole members or none.
 */
#include "generator/plan.h"

/* What could not be written; entry as in plan_item. r is a negative errno; nothing of this member is there. */
typedef void write_fault_fn(void *user, size_t entry, const char *path, int r);

/* Writes below the folder what can be written, and tells of what cannot. False: something could not. */
bool write_plan(int folder, const struct plan *plan, write_fault_fn *fault, void *user);

#endif
