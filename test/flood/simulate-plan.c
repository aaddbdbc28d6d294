/* Plans as text, so that one that fails can be kept and run again. */
#include "simulate-plan.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE = 4096 };

struct number {
	const char *name;
	size_t offset;
	int64_t def, least, most;
	const char *help;
};

static const struct number numbers[] = {
#define X(name, def, least, most, help) {#name, offsetof(struct plan_numbers, name), def, least, most, help},
	PLAN_NUMBERS(X)
#undef X
};

static const struct {
	const char *name;
	unsigned int fields;
	const char *help;
} acts[] = {
#define X(name, fields, help) {#name, fields, help},
	PLAN_ACTS(X)
#undef X
};

enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };

static int64_t *
field(const struct plan *p, const struct number *n)
{
	return (int64_t *)((char *)(uintptr_t)&p->numbers + n->offset);
}

void
plan_init(struct plan *p)
{
	*p = (struct plan){0};
	for (size_t i = 0; i < NUMBERS; i++)
		*field(p, &numbers[i]) = numbers[i].def;
}

void
plan_done(struct plan *p)
{
	free(p->acts);
	p->acts = NULL;
	p->count = p->room = 0;
}

void
plan_add(struct plan *p, const struct act *act)
{
	if (p->count == p->room) {
		p->room = p->room ? 2 * p->room : 64;
		p->acts = realloc(p->acts, p->room * sizeof(*p->acts));
		if (!p->acts)
			abort();
	}
	p->acts[p->count++] = *act;
}

void
plan_copy(struct plan *to, const struct plan *from)
{
	*to = (struct plan){.numbers = from->numbers};
	for (size_t i = 0; i < from->count; i++)
		plan_add(to, &from->acts[i]);
}

/* Stable: of two acts at one time the one that was added first comes first. */
void
plan_sort(struct plan *p)
{
	for (size_t i = 1; i < p->count; i++) {
		struct act act = p->acts[i];
		size_t at = i;

		for (; at > 0 && p->acts[at - 1].at_us > act.at_us; at--)
			p->acts[at] = p->acts[at - 1];
		p->acts[at] = act;
	}
}

/* --- text -------------------------------------------------------------------------- */

/* Options have '-' where names in C have '_'. */
static bool
is_name(const struct number *n, const char *name)
{
	const char *own = n->name;

	for (; *own && (*own == *name || (*own == '_' && *name == '-')); own++)
		name++;
	return *own == *name;
}

bool
plan_set(struct plan *p, const char *name, const char *value)
{
	char *end;
	int64_t number = strtoll(value, &end, 0);

	for (size_t i = 0; i < NUMBERS; i++) {
		if (!is_name(&numbers[i], name))
			continue;
		if (end == value || *end || number < numbers[i].least || number > numbers[i].most) {
			fprintf(stderr, "simulate: '%s' for %s (expected %lld to %lld)\n", value, name,
				(long long)numbers[i].least, (long long)numbers[i].most);
			return false;
		}
		*field(p, &numbers[i]) = number;
		return true;
	}
	fprintf(stderr, "simulate: no such option: %s\n", name);
	return false;
}

void
plan_help(FILE *out)
{
	for (size_t i = 0; i < NUMBERS; i++) {
		char name[32];

		for (size_t c = 0; c < sizeof(name); c++) {
			name[c] = numbers[i].name[c] == '_' ? '-' : numbers[i].name[c];
			if (!name[c])
				break;
		}
		fprintf(out, "  --%-12s %s (%lld)\n", name, numbers[i].help, (long long)numbers[i].def);
	}
	fprintf(out, "\nA plan is one line of NAME=NUMBER, then one act per line: SECONDS ACT NUMBER...\n");
	for (size_t i = 0; i < PLAN_ACT_COUNT; i++)
		fprintf(out, "  %-8s %s\n", acts[i].name, acts[i].help);
}

void
plan_write(const struct plan *p, FILE *out)
{
	fprintf(out, "simulate");
	for (size_t i = 0; i < NUMBERS; i++)
		if (*field(p, &numbers[i]) != numbers[i].def)
			fprintf(out, " %s=%lld", numbers[i].name, (long long)*field(p, &numbers[i]));
	fprintf(out, "\n");
	for (size_t i = 0; i < p->count; i++) {
		const struct act *a = &p->acts[i];

		fprintf(out, "%lld.%06lld %s", (long long)(a->at_us / 1000000),
			(long long)(a->at_us % 1000000), acts[a->what].name);
		if (acts[a->what].fields > 0)
			fprintf(out, " %u", a->a);
		if (acts[a->what].fields > 1)
			fprintf(out, " %u", a->b);
		if (acts[a->what].fields > 2)
			fprintf(out, " %lld", (long long)a->c);
		fprintf(out, "\n");
	}
}

static bool
read_numbers(struct plan *p, char *line)
{
	char *rest = NULL;

	for (char *word = strtok_r(line, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
		char *value = strchr(word, '=');

		if (!value)
			return false;
		*value++ = '\0';
		if (!plan_set(p, word, value))
			return false;
	}
	return true;
}

static bool
read_act(struct plan *p, const char *line)
{
	struct act act = {0};
	char what[32];
	long long s, us, c = 0;
	int got = sscanf(line, "%lld.%6lld %31s %u %u %lld", &s, &us, what, &act.a, &act.b, &c);

	if (got < 3)
		return false;
	act.at_us = s * 1000000 + us;
	act.c = c;
	for (unsigned int i = 0; i < PLAN_ACT_COUNT; i++) {
		if (strcmp(acts[i].name, what) != 0 || (unsigned int)got - 3 < acts[i].fields)
			continue;
		act.what = (enum plan_act)i;
		if (act.what != PLAN_split && act.what != PLAN_loss &&
		    (act.a >= p->numbers.hosts || (act.what == PLAN_cut && act.b >= p->numbers.hosts)))
			return false;
		plan_add(p, &act);
		return true;
	}
	return false;
}

bool
plan_read(struct plan *p, FILE *in)
{
	char line[LINE_SIZE];
	bool has_begun = false;

	while (fgets(line, sizeof(line), in)) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (!has_begun && strncmp(line, "simulate", 8) == 0) {
			if (!read_numbers(p, line + 8))
				return false;
			has_begun = true;
		} else if (!has_begun || !read_act(p, line)) {
			fprintf(stderr, "simulate: what is this? %s", line);
			return false;
		}
	}
	plan_sort(p);
	return has_begun;
}
