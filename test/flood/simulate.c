/*
 * Simulate: herds of up to some thousand hosts in virtual time, with the code
 * that herd-flood runs, and without a socket. `simulate --help` says how.
 *
 * Each run is a process of its own, so that one that crashes or never ends is
 * only one that failed; its plan is then made smaller for as long as it still
 * fails, and printed.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "simulate-world.h"

enum { RUN_S = 600, SHORT_RANDOM = 120 };

struct result {
	bool ok;
	struct world_figures figures;
	double real_s;
	char failure[WORLD_FAILURE_MAX];
};

struct options {
	bool json, no_shrink, has_numbers;
	const char *replay;
	uint64_t random, from;
	unsigned int run_s;
};

static unsigned int passed, failed;

/* --- one run -------------------------------------------------------------------------- */

static double
real_now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
run_child(const struct plan *plan, int fd, unsigned int run_s)
{
	struct result result = {0};

	alarm(run_s);
	result.ok = world_run(plan, &result.figures, result.failure);
	if (write(fd, &result, sizeof(result)) != (ssize_t)sizeof(result))
		_exit(2);
	exit(0); /* not _exit(): a leak is a failure, where somebody looks for leaks */
}

static void
run(const struct plan *plan, const struct options *o, struct result *ret)
{
	double begin_s = real_now_s();
	int fds[2], status = 0;
	ssize_t got;
	pid_t pid;

	*ret = (struct result){0};
	fflush(NULL);
	if (pipe(fds) < 0 || (pid = fork()) < 0) {
		perror("simulate");
		exit(2);
	}
	if (pid == 0) {
		close(fds[0]);
		run_child(plan, fds[1], o->run_s);
	}
	close(fds[1]);
	got = read(fds[0], ret, sizeof(*ret));
	close(fds[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	ret->real_s = real_now_s() - begin_s;
	if (got == (ssize_t)sizeof(*ret) && status == 0)
		return;
	ret->ok = false;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(ret->failure, sizeof(ret->failure), "not done after %u s of real time", o->run_s);
	else if (WIFSIGNALED(status))
		snprintf(ret->failure, sizeof(ret->failure), "killed by signal %d", WTERMSIG(status));
	else
		snprintf(ret->failure, sizeof(ret->failure), "exit status %d", WEXITSTATUS(status));
}

static double
copies(const struct plan *plan, const struct result *r)
{
	return r->figures.accepted
		       ? (double)r->figures.fixes / (double)r->figures.accepted / (double)plan->numbers.hosts
		       : 0;
}

static void
print_figures(const struct plan *plan, const struct result *r, const char *name, bool json)
{
	const struct world_figures *f = &r->figures;
	double memory = (double)(f->memory_most - f->memory_first) / (double)plan->numbers.hosts;

	if (json)
		printf("{\"scenario\": \"%s\", \"ok\": %s, \"hosts\": %lld, \"seed\": %lld, \"accepted\": "
		       "%llu, "
		       "\"copies\": %.2f, \"spread_p50_ms\": %.1f, \"spread_p99_ms\": %.1f, \"agreed_s\": "
		       "%.1f, \"diverged\": %llu, \"resync_lines\": %llu, "
		       "\"duplicates\": %llu, "
		       "\"ties\": %llu, \"replaced\": %llu, \"restored\": %llu, \"confirmed\": %llu, "
		       "\"cut_off\": %llu, \"memory_per_host\": %.0f, \"real_s\": %.2f}\n",
		       name, r->ok ? "true" : "false", (long long)plan->numbers.hosts,
		       (long long)plan->numbers.seed, (unsigned long long)f->accepted, copies(plan, r),
		       (double)f->spread_p50_us / 1e3, (double)f->spread_p99_us / 1e3,
		       (double)f->agreed_ns / 1e9, (unsigned long long)f->diverged,
		       (unsigned long long)f->resync_lines, (unsigned long long)f->duplicates,
		       (unsigned long long)f->ties, (unsigned long long)f->replaced,
		       (unsigned long long)f->restored, (unsigned long long)f->confirmed,
		       (unsigned long long)f->cut_off, memory, r->real_s);
	else
		printf("# %s: %llu fixes, %.2f lines each and host, spread in %.1f ms (p99 %.1f), agreed "
		       "after %.1f s, %llu lines of "
		       "resyncs, %llu replaced, %.0f kB more per host, %.1f s\n",
		       name, (unsigned long long)f->accepted, copies(plan, r), (double)f->spread_p50_us / 1e3,
		       (double)f->spread_p99_us / 1e3, (double)f->agreed_ns / 1e9,
		       (unsigned long long)f->resync_lines, (unsigned long long)f->replaced, memory / 1024,
		       r->real_s);
}

/* --- a smaller plan that fails ------------------------------------------------------------ */

static bool
still_fails(const struct plan *plan, const struct options *o, struct result *ret)
{
	struct result r;

	run(plan, o, &r);
	if (!r.ok)
		*ret = r;
	return !r.ok;
}

/* Without the acts [from, from + count). */
static void
leave_out(struct plan *to, const struct plan *from, size_t first, size_t count)
{
	*to = (struct plan){.numbers = from->numbers};
	for (size_t i = 0; i < from->count; i++)
		if (i < first || i >= first + count)
			plan_add(to, &from->acts[i]);
}

static bool
try_plan(struct plan *plan, struct plan *smaller, const struct options *o, struct result *result)
{
	if (!still_fails(smaller, o, result)) {
		plan_done(smaller);
		return false;
	}
	plan_done(plan);
	*plan = *smaller;
	return true;
}

static void
shrink_acts(struct plan *plan, const struct options *o, struct result *result)
{
	for (size_t step = plan->count / 2 + 1; step > 0; step = step == 1 ? 0 : (step + 1) / 2) {
		for (size_t at = 0; at < plan->count;) {
			struct plan smaller;

			leave_out(&smaller, plan, at, step);
			if (!try_plan(plan, &smaller, o, result))
				at += step;
		}
	}
}

static void
shrink_number(struct plan *plan, int64_t *number, int64_t to, const struct options *o, struct result *result)
{
	int64_t was = *number;

	if (was == to)
		return;
	*number = to;
	if (!still_fails(plan, o, result))
		*number = was;
}

static void
shrink_hosts(struct plan *plan, const struct options *o, struct result *result)
{
	int64_t hosts = 2;

	for (size_t i = 0; i < plan->count; i++) {
		const struct act *a = &plan->acts[i];

		if (a->what == PLAN_split || a->what == PLAN_loss || a->what == PLAN_mend)
			continue;
		hosts = a->a >= hosts ? a->a + 1 : hosts;
		if (a->what == PLAN_cut || a->what == PLAN_join || a->what == PLAN_snap)
			hosts = a->b >= hosts ? a->b + 1 : hosts;
	}
	for (; hosts < plan->numbers.hosts; hosts++) {
		int64_t was = plan->numbers.hosts;

		shrink_number(plan, &plan->numbers.hosts, hosts, o, result);
		if (plan->numbers.hosts != was)
			return;
	}
}

static void
shrink(struct plan *plan, const struct options *o, struct result *result)
{
	shrink_acts(plan, o, result);
	shrink_hosts(plan, o, result);
	shrink_number(plan, &plan->numbers.loss, 0, o, result);
	shrink_number(plan, &plan->numbers.rate, 0, o, result);
	shrink_number(plan, &plan->numbers.skew, 0, o, result);
	shrink_number(plan, &plan->numbers.sites, 0, o, result);
	shrink_number(plan, &plan->numbers.ttl, 0, o, result);
	shrink_number(plan, &plan->numbers.ack_after, 0, o, result);
	shrink_number(plan, &plan->numbers.drawn, 0, o, result);
	shrink_number(plan, &plan->numbers.delay, 1, o, result);
	shrink_acts(plan, o, result);
}

static void
report_failure(const struct plan *failing, const struct options *o, const struct result *why)
{
	struct result result = *why;
	struct plan plan;

	plan_copy(&plan, failing);
	printf("# %s\n", result.failure);
	if (!o->no_shrink)
		shrink(&plan, o, &result);
	printf("# smallest plan that fails (simulate --replay FILE): %s\n", result.failure);
	plan_write(&plan, stdout);
	plan_done(&plan);
}

static bool
judge(const struct plan *plan, const struct options *o, const char *name)
{
	struct result r;

	run(plan, o, &r);
	if (r.ok)
		passed++;
	else
		failed++;
	if (!r.ok)
		printf("not ok - %s\n", name);
	print_figures(plan, &r, name, o->json);
	if (!r.ok)
		report_failure(plan, o, &r);
	return r.ok;
}

/* --- scenarios ------------------------------------------------------------------------------- */

struct scenario {
	const char *name, *numbers;
	double copies; /* at most; 0: any */
};

static const struct scenario scenarios[] = {
	{"five hosts, a sparse graph", "hosts=5 drawn=1 updates=50 quiet=200", 0},
	{"100 hosts in rings", "hosts=100 updates=60 seconds=8 clients=200 spread=0 quiet=100", 6.5},
	{"100 hosts in rings, links that differ", "hosts=100 updates=60 seconds=12 clients=200 quiet=100",
	 6.5},
	{"300 hosts in rings, far apart", "hosts=300 updates=20 seconds=15 delay=80 clients=200", 6.5},
	{"1,000 hosts, 30 % die at once", "hosts=1000 deaths=30 updates=2 seconds=36 clients=60 names=0", 0},
	{"200 hosts in 12 sites, 30 % die", "hosts=200 sites=12 deaths=30 updates=20 seconds=45", 0},
	{"100 hosts, 80 % die at once", "hosts=100 deaths=80 updates=10 seconds=45", 0},
	{"30 % die, and are back as it is looked", "hosts=60 deaths=30 updates=10 seconds=20", 0},
	{"100 hosts in 4 sites, 80 % die", "hosts=100 sites=4 deaths=80 updates=10 seconds=45", 0},
	{"200 hosts, 50 % are off at once", "hosts=200 deaths=50 silent=1 updates=10 seconds=60", 0},
	{"30 hosts in 3 sites", "hosts=30 sites=3 updates=100 seconds=10 quiet=200", 0},
	{"30 % loss", "hosts=20 sites=2 loss=30 updates=50 quiet=100", 0},
	{"20 s partition", "hosts=20 partition=20 seconds=45 updates=50 quiet=100", 0},
	{"killed and started again", "hosts=40 kills=1 seconds=30 updates=100 quiet=100", 0},
	{"clocks 8 s off", "hosts=20 skew=8000 updates=50 future=10 quiet=200", 0},
	{"clocks 25 s off: parked fixes", "hosts=10 skew=25000 updates=20 clients=30 settle=400 quiet=200",
	 0},
	{"fixes expire", "hosts=12 ttl=60 skew=500 updates=50 seconds=100 quiet=400", 0},
	{"tables are too small",
	 "hosts=8 capacity=64 clients=500 updates=200 seconds=20 settle=200 quiet=300", 0},
	{"slow links", "hosts=10 sites=2 rate=64 updates=300 seconds=20 clients=300 quiet=100", 0},
	{"confirmed by two peers", "hosts=12 ack_after=2 updates=50 kills=1 seconds=20", 0},
};

static bool
read_scenario(const struct scenario *s, struct plan *plan)
{
	char line[512], *rest = NULL;

	plan_init(plan);
	snprintf(line, sizeof(line), "%s", s->numbers);
	for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		char *value = strchr(word, '=');

		*value++ = '\0';
		if (!plan_set(plan, word, value))
			return false;
	}
	plan_make(plan);
	return true;
}

static void
run_scenario(const struct scenario *s, const struct options *o)
{
	struct plan plan;
	struct result r;

	if (!read_scenario(s, &plan))
		exit(2);
	run(&plan, o, &r);
	if (r.ok && s->copies > 0 && copies(&plan, &r) > s->copies) {
		r.ok = false;
		snprintf(r.failure, sizeof(r.failure), "%.2f lines per fix and host (expected %.1f at most)",
			 copies(&plan, &r), s->copies);
	}
	if (r.ok)
		passed++;
	else
		failed++;
	printf("%s - %s\n", r.ok ? "ok" : "not ok", s->name);
	print_figures(&plan, &r, s->name, o->json);
	if (!r.ok)
		report_failure(&plan, o, &r);
	plan_done(&plan);
}

static void
run_random(const struct options *o, uint64_t count)
{
	unsigned int before = failed;
	int64_t slowest_ns = 0;
	uint64_t i, slowest = 0;

	for (i = 0; i < count && failed < before + 10; i++) {
		struct plan plan;
		char name[64];
		struct result r;

		snprintf(name, sizeof(name), "random plan %llu", (unsigned long long)(o->from + i));
		plan_init(&plan);
		plan_make_random(&plan, o->from + i);
		run(&plan, o, &r);
		if (r.figures.agreed_ns > slowest_ns) {
			slowest_ns = r.figures.agreed_ns;
			slowest = o->from + i;
		}
		if (o->json)
			print_figures(&plan, &r, name, true);
		if (!r.ok) {
			failed++;
			printf("not ok - %s\n", name);
			report_failure(&plan, o, &r);
		}
		plan_done(&plan);
	}
	passed += failed == before;
	printf("%s - %llu random plans from seed %llu on\n", failed == before ? "ok" : "not ok",
	       (unsigned long long)i, (unsigned long long)o->from);
	printf("# the slowest agreed after %.1f s: plan %llu\n", (double)slowest_ns / 1e9,
	       (unsigned long long)slowest);
}

/* --- options ------------------------------------------------------------------------------------ */

static void
help(void)
{
	printf("simulate: a herd in virtual time\n\n"
	       "Without options: every scenario, and %d random plans.\n"
	       "  --random N     N random plans of small herds with a hard life\n"
	       "  --from SEED    the first of them\n"
	       "  --replay FILE  a plan as it was printed\n"
	       "  --trace        every line that is sent\n"
	       "  --json         one line of JSON per run\n"
	       "  --no-shrink    do not look for a smaller plan that fails\n"
	       "  --limit S      seconds of real time for a run (%d)\n"
	       "One plan of these numbers:\n",
	       SHORT_RANDOM, RUN_S);
	plan_help(stdout);
}

static const char *
need(char **argv, int *at)
{
	if (!argv[*at + 1]) {
		fprintf(stderr, "simulate: %s needs a value\n", argv[*at]);
		exit(2);
	}
	return argv[++*at];
}

static void
read_options(struct options *o, struct plan *plan, char **argv)
{
	for (int i = 1; argv[i]; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			help();
			exit(0);
		} else if (strcmp(argv[i], "--json") == 0) {
			o->json = true;
		} else if (strcmp(argv[i], "--no-shrink") == 0) {
			o->no_shrink = true;
		} else if (strcmp(argv[i], "--trace") == 0) {
			world_is_traced = o->no_shrink = true;
		} else if (strcmp(argv[i], "--replay") == 0) {
			o->replay = need(argv, &i);
		} else if (strcmp(argv[i], "--random") == 0) {
			o->random = strtoull(need(argv, &i), NULL, 0);
		} else if (strcmp(argv[i], "--from") == 0) {
			o->from = strtoull(need(argv, &i), NULL, 0);
		} else if (strcmp(argv[i], "--limit") == 0) {
			o->run_s = (unsigned int)strtoul(need(argv, &i), NULL, 0);
		} else if (strncmp(argv[i], "--", 2) == 0) {
			const char *name = argv[i] + 2;

			if (!plan_set(plan, name, need(argv, &i)))
				exit(2);
			o->has_numbers = true;
		} else {
			fprintf(stderr, "simulate: what is '%s'?\n", argv[i]);
			exit(2);
		}
	}
}

/* Each table has a descriptor or two. */
static void
raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int
main(int argc, char **argv)
{
	struct options o = {.from = 1, .run_s = RUN_S};
	struct plan plan;

	(void)argc;
	plan_init(&plan);
	read_options(&o, &plan, argv);
	raise_limit();
	if (o.replay) {
		FILE *in = fopen(o.replay, "r");

		if (!in || !plan_read(&plan, in)) {
			fprintf(stderr, "simulate: cannot read %s\n", o.replay);
			return 2;
		}
		fclose(in);
		judge(&plan, &o, o.replay);
	} else if (o.has_numbers) {
		plan_make(&plan);
		judge(&plan, &o, "as told");
	} else if (o.random > 0) {
		run_random(&o, o.random);
	} else {
		for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
			run_scenario(&scenarios[i], &o);
		run_random(&o, SHORT_RANDOM);
	}
	plan_done(&plan);
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0;
}
