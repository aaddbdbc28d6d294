#ifndef CTL_OWN_FILE_H
#define CTL_OWN_FILE_H
/*
 * A member's own file, herd.conf.d/member-NAME.conf: what herdctl add makes
 * and herdctl remove takes away. While one is open no other herdctl has one.
 */
#include <stdbool.h>

#include "base/cleanup.h"
#include "base/text.h"

enum { OWN_FILE_PATH_MAX = 4096 };

struct own_file {
	char path[OWN_FILE_PATH_MAX];
	const char *name; /* the end of path */
	int folder;	  /* locked; -1: there is none */
};

/*
 * config: as given with --config, or NULL. With `make` the folder is made when it is missing. Waits five
 * seconds at most for another herdctl: -EBUSY. -ENAMETOOLONG, other negative errno.
 */
int own_file_open(struct own_file *ret, const char *config, const char *member, bool make);

void own_file_done(struct own_file *f);

bool own_file_exists(const struct own_file *f);

/* Makes it, with mode 0644, whole or not at all, and on the disk. -EEXIST: it is there. */
int own_file_make(const struct own_file *f, struct text bytes);

/* 0: as far as one can tell, it can be removed, or is not there. */
int own_file_can_remove(const struct own_file *f);

/* 0, also when it is not there. */
int own_file_remove(const struct own_file *f);

#endif
