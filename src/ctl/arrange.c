/*
 * Arrange: people write "herdctl fixes --json 'a*'" as readily as "herdctl
 * --json fixes 'a*'", and locations begin with a minus sign: getopt's two
 * habits (stop at the first operand; everything with a dash is an option) are
 * both wrong here. So the vector is sorted first: an option is what begins
 * with "--", or with "-" and a letter; its argument goes along with it.
 */
#include "ctl/arrange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The common options of conf/options.h that take an argument. */
static const struct options_entry common[] = {
	{.name = "config", .argument = "FILE"},
	{.name = "set", .argument = "KEY=VALUE"},
	{.name = "check-config"},
	{.name = "version"},
	{0},
};

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_option(const char *argument)
{
	return argument[0] == '-' && (is_letter(argument[1]) || (argument[1] == '-' && argument[2]));
}

/* The entry that "--name", "--name=value" or a beginning of the name means; none when several begin
   so. */
static const struct options_entry *
find_entry(const struct options_entry *entries, const char *argument)
{
	const struct options_entry *begins = NULL;
	bool several = false;
	size_t len;

	if (!entries || argument[1] != '-')
		return NULL;
	argument += 2;
	len = strcspn(argument, "=");
	for (; entries->name; entries++) {
		if (strncmp(entries->name, argument, len) != 0)
			continue;
		if (!entries->name[len])
			return entries;
		several = begins != NULL;
		begins = entries;
	}
	return several ? NULL : begins;
}

static const struct command *
find_command(const struct command *const *known, const char *group, const char *word)
{
	for (; *known; known++) {
		const char *name = (*known)->name;
		size_t len = group ? strlen(group) : 0;

		if (group && (strncmp(name, group, len) != 0 || name[len++] != ' '))
			continue;
		if (strcmp(name + len, word) == 0)
			return *known;
	}
	return NULL;
}

static bool
is_group(const struct command *const *known, const char *word)
{
	size_t len = strlen(word);

	for (; *known; known++)
		if (strncmp((*known)->name, word, len) == 0 && (*known)->name[len] == ' ')
			return true;
	return false;
}

/* What the sorting has come to. */
struct sorting {
	struct arranged *a;
	const struct command *const *known;
	const struct options_entry *entries;
	bool help;	 /* "herdctl help ..." */
	bool incomplete; /* the last option lacks its argument, and must not find the next word */
};

/* A word that is no option. */
static void
take_word(struct sorting *s, char *word)
{
	struct arranged *a = s->a;

	if (a->command || a->unknown) {
		a->operands[a->operand_count++] = word;
		return;
	}
	if (!s->help && !a->group && strcmp(word, "help") == 0) {
		s->help = true;
		return;
	}
	a->command = find_command(s->known, a->group, word);
	if (a->command)
		return;
	if (!a->group && is_group(s->known, word))
		a->group = word;
	else
		a->unknown = word;
}

/* An option; returns how many further arguments are its own. */
static int
take_option(struct sorting *s, char **argv)
{
	struct arranged *a = s->a;
	const struct options_entry *own = a->command ? find_entry(a->command->entries, argv[0]) : NULL;
	const struct options_entry *entry = own;
	int more;

	if (!entry)
		entry = find_entry(s->entries, argv[0]);
	if (!entry)
		entry = find_entry(common, argv[0]);
	more = entry && entry->argument && !strchr(argv[0], '=');
	if (more && !argv[1]) {
		s->incomplete = true;
		more = 0;
	}

	/* What nobody knows, and --help, is for the command to complain about, or to answer. */
	for (int i = 0; i <= more; i++) {
		if (own || (a->command && !entry))
			a->own[a->own_count++] = argv[i];
		else
			a->global[a->global_count++] = argv[i];
	}
	return more;
}

static void
sort_all(struct sorting *s, int argc, char **argv)
{
	bool options = true;

	for (int i = 1; i < argc; i++) {
		if (options && strcmp(argv[i], "--") == 0)
			options = false;
		else if (options && is_option(argv[i]))
			i += take_option(s, argv + i);
		else
			take_word(s, argv[i]);
	}
}

int
arrange(struct arranged *ret, const struct command *const *known, const struct options_entry *entries,
	int argc, char **argv)
{
	static char help[] = "--help", end[] = "--";
	size_t room = (size_t)argc + 4;
	struct sorting s = {.a = ret, .known = known, .entries = entries};

	*ret = (struct arranged){
		.global = calloc(room, sizeof(char *)),
		.own = calloc(2 * room, sizeof(char *)),
		.operands = calloc(room, sizeof(char *)),
	};
	if (!ret->operands || !ret->global || !ret->own) {
		arranged_done(ret);
		return -ENOMEM;
	}
	ret->global[ret->global_count++] = argv[0];
	ret->own[ret->own_count++] = argv[0];
	sort_all(&s, argc, argv);
	if (s.help && ret->command)
		ret->own[ret->own_count++] = help;
	else if (s.help)
		ret->global[ret->global_count++] = help;
	if (s.incomplete) {
		ret->own_operand = ret->own_count;
		return 0;
	}
	ret->own[ret->own_count++] = end;
	ret->own_operand = ret->own_count;
	for (int i = 0; i < ret->operand_count; i++)
		ret->own[ret->own_count++] = ret->operands[i];
	return 0;
}

void
arranged_done(struct arranged *a)
{
	free(a->global);
	free(a->own);
	free(a->operands);
	*a = (struct arranged){0};
}
