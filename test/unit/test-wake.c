/*
 * One byte from one program to another: net/wake.c.
 */
#include "unit.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../snapshot-help.h"
#include "base/clock.h"
#include "net/wake.h"

struct fixture {
	struct loop *loop;
	char folder[64], path[HERD_CONTROL_PATH_MAX];
	unsigned int woken;
	int sender;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	help_folder(f->folder);
	assert_int_equal(loop_new(&f->loop), 0);
	assert_int_equal(wake_path(f->path, f->folder, "/herd", NULL), 0);
	f->sender = wake_sender();
	assert_true(f->sender >= 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	close(f->sender);
	loop_free(f->loop);
	help_remove_folder(f->folder);
	free(f);
	return 0;
}

static void
on_woken(void *arg)
{
	++*(unsigned int *)arg;
}

static void
turn(struct fixture *f)
{
	event_base_loop(loop_base(f->loop), EVLOOP_NONBLOCK);
}

static void
test_paths(void **state)
{
	char path[HERD_CONTROL_PATH_MAX];
	char folder[200];

	(void)state;
	assert_int_equal(wake_path(path, "/run/herd", "/x", NULL), 0);
	assert_string_equal(path, "/run/herd/x:wake");
	assert_int_equal(wake_path(path, "/run/herd", "/x", "Alpha"), 0);
	assert_string_equal(path, "/run/herd/x:wake:Alpha");
	memset(folder, 'f', sizeof(folder) - 1);
	folder[sizeof(folder) - 1] = '\0';
	assert_int_equal(wake_path(path, folder, "/x", NULL), -ENAMETOOLONG);
}

static void
test_wakes(void **state)
{
	struct fixture *f = *state;
	struct wake *w = NULL;
	struct stat st;

	assert_int_equal(wake_send(f->sender, f->path), -ENOENT);
	assert_int_equal(wake_new(&w, f->loop, f->path, on_woken, &f->woken), 0);
	assert_int_equal(lstat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	turn(f);
	assert_int_equal(f->woken, 0);
	assert_int_equal(wake_send(f->sender, f->path), 0);
	assert_int_equal(wake_send(f->sender, f->path), 0);
	turn(f);
	assert_int_equal(f->woken, 1); /* once for all that was sent */
	turn(f);
	assert_int_equal(f->woken, 1);
	wake_free(w);
	assert_int_equal(lstat(f->path, &st), -1);
	assert_int_equal(wake_send(f->sender, f->path), -ENOENT);
}

/* Nobody reads: the sender does not wait, and the reader is through with it in a few turns. */
static void
test_never_waits(void **state)
{
	struct fixture *f = *state;
	struct wake *w = NULL;
	int r = 0;

	assert_int_equal(wake_new(&w, f->loop, f->path, on_woken, &f->woken), 0);
	for (int i = 0; i < 1000000 && r == 0; i++)
		r = wake_send(f->sender, f->path);
	assert_int_equal(r, -EAGAIN);
	turn(f);
	assert_int_equal(f->woken, 1);
	wake_free(w);
}

/* What a killed program left is in nobody's way; what its successor made stays. */
static void
test_successor(void **state)
{
	struct fixture *f = *state;
	struct wake *dead = NULL, *w = NULL;
	struct stat st;

	assert_int_equal(wake_new(&dead, f->loop, f->path, on_woken, &f->woken), 0);
	assert_int_equal(wake_new(&w, f->loop, f->path, on_woken, &f->woken), 0);
	wake_free(dead);
	assert_int_equal(lstat(f->path, &st), 0);
	assert_int_equal(wake_send(f->sender, f->path), 0);
	turn(f);
	assert_int_equal(f->woken, 1);
	wake_free(w);
}

/* A file that is no socket is somebody else's. */
static void
test_not_ours(void **state)
{
	struct fixture *f = *state;
	struct wake *w = NULL;
	FILE *file = fopen(f->path, "w");

	assert_non_null(file);
	fclose(file);
	assert_int_equal(wake_new(&w, f->loop, f->path, on_woken, &f->woken), -EADDRINUSE);
	assert_null(w);
	assert_int_equal(access(f->path, F_OK), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test_setup_teardown(test_wakes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_successor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_ours, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
