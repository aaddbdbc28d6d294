/*
 * herdctl: the process around ctl_run().
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"

/* A table or socket must never get the number of a closed standard stream. They are opened the
   wrong way round, so that using them is still an error. */
static void
occupy_standard_streams(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

int
main(int argc, char **argv)
{
	int r;

	occupy_standard_streams();
	signal(SIGPIPE, SIG_IGN); /* a reader that left is a return code, see ctl.c */
	r = ctl_run(argc, argv);
	errno = 0;
	if (fclose(stdout) != 0 && errno != EPIPE && r != CTL_FAILED)
		return ctl_fail(CTL_FAILED, "Cannot write: %s", strerror(errno));
	return r;
}
