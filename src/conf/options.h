#ifndef CONF_OPTIONS_H
#define CONF_OPTIONS_H
/*
 * The command line of every program: the common options (--config, --set,
 * --check-config, --help, --version) and a table of the program's own.
 */
#include <stdbool.h>
#include <stdio.h>

#include "conf/conf.h"

/* > 0: the direct caller ends the program with options_exit_code(). */
enum {
	OPTIONS_E_ANSWERED = 1, /* --help, --version, --check-config */
	OPTIONS_E_USAGE,	/* already said on stderr */
	OPTIONS_E_CONFIG,	/* the settings are bad; already said */
};

enum { OPTIONS_OWN_MAX = 16, OPTIONS_SET_MAX = 256 };

/* One option of a program. */
struct options_entry {
	const char *name;     /* "listen": --listen */
	const char *argument; /* "ADDR:PORT"; NULL: a flag */
	const char *setting;  /* what it sets, as --set would; NULL: see options_value() */
	const char *help;
};

struct options_program {
	const char *name;		     /* "herd-member" */
	const char *summary;		     /* one line */
	const char *operands;		     /* "COMMAND [ARGUMENT]..."; NULL: none allowed */
	const struct options_entry *entries; /* ends with a NULL name */
	unsigned int sections;		     /* enum conf_section bits whose settings --help lists */
	bool plain;			     /* no common options but --help: a command of herdctl */
	const char *more;		     /* text for the end of --help; NULL: none */
};

/* What was given; strings are argv's, if not said otherwise. Zero-initialise. */
struct options {
	const struct options_program *program;
	const char *config; /* --config; NULL: the default */
	bool check_config;
	struct conf_set *sets; /* for struct conf_source; owned, keys and options too */
	size_t set_count;
	const char *values[OPTIONS_OWN_MAX]; /* by entry; flags have "" */
	int operand;			     /* index in argv of the first operand */
};

/* Options end at the first operand. Output of --help and --version goes to out, complaints to err.
   0, OPTIONS_E_*, -ENOMEM. */
int options_parse(struct options *ret, const struct options_program *program, int argc, char **argv,
		  FILE *out, FILE *err);

void options_done(struct options *options);

/* The argument given (the last one) to an option without a setting, "" for a flag; NULL: not given. */
const char *options_value(const struct options *options, const char *name);

/* Where the settings of this command line come from; complaints go to the log. For conf_load() and
   conf_reload(); lives as long as options. member: see struct conf_source. */
struct conf_source options_source(const struct options *options, const char *member);

/* Loads the settings and sets the log level; answers --check-config on out. 0, OPTIONS_E_ANSWERED,
   OPTIONS_E_CONFIG, -ENOMEM. */
int options_load(const struct options *options, const char *member, struct conf *ret_conf, FILE *out);

/* Loads the settings anew and logs what came of it; sets the log level. `also`, unless it is NULL, gets
   every complaint too. Unless 0 is returned, conf is as before. 0, OPTIONS_E_CONFIG, -ENOMEM. */
int options_reload(const struct options *options, const char *member, struct conf *conf, conf_report_fn *also,
		   void *user, struct conf_changes *ret_changes);

/* 0: 0. Answered: 0. Usage: 64. Config: 78. Any negative errno: 1. */
int options_exit_code(int r);

#endif
