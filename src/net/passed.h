#ifndef NET_PASSED_H
#define NET_PASSED_H
/*
 * Passed: what a service manager has put into this program's environment, as sd_listen_fds(3) and
 * sd_watchdog_enabled(3) describe it. libsystemd reads it, or, where herd was built without it, this
 * module does, to the same effect: LISTEN_FDS is spoken by others than systemd, too.
 */
#include <stdbool.h>
#include <stdint.h>

enum { PASSED_FIRST = 3 }; /* the first descriptor */

/*
 * How many sockets (and descriptors of the store) were passed, from PASSED_FIRST on; with none *ret_names stays
 * untouched. *ret_names has as many names, which are passed_names_free()'s; "unknown" where nobody gave any. The
 * descriptors are closed on exec from then on. With `forget` nobody who asks again hears of them. -EINVAL and
 * others: the environment is not as it should be; -EBADF: there is no such descriptor; -ENOMEM.
 */
int passed_sockets(char ***ret_names, bool forget);

/* Accepts NULL. */
void passed_names_free(char **names);

/* How often the service manager wants to hear of this process; 0: it does not, or says it in a way that makes no sense. */
int64_t passed_watchdog_ns(void);

#endif
