#ifndef CTL_ARRANGE_H
#define CTL_ARRANGE_H
/*
 * The command line of herdctl, sorted: what is everybody's goes to one
 * argument vector, what is the command's to another, so that options may stand
 * anywhere. conf/options.h then reads both.
 */
#include <stdbool.h>

#include "ctl/ctl.h"

struct arranged {
	const struct command *command; /* NULL: none, or no such */
	const char *unknown;	       /* the word that is no command; NULL: none was given */
	const char *group;	       /* "places" of "places imprt"; NULL: a plain command */
	char **global;		       /* owned, the strings are argv's; ends with NULL */
	int global_count;
	char **own; /* the same: the command's options, "--", operands */
	int own_count;
	int own_operand; /* index of its first operand */
	char **operands; /* while sorting */
	int operand_count;
};

/* Sorts argv. `entries` are the options everybody takes besides the common ones. 0, -ENOMEM. */
int arrange(struct arranged *ret, const struct command *const *known, const struct options_entry *entries,
	    int argc, char **argv);

void arranged_done(struct arranged *a);

#endif
