#ifndef BASE_GUARD_H
#define BASE_GUARD_H
/*
 * Guard: reading a mapping that somebody may cut short. Touching a page past
 * the new end raises SIGBUS; here it becomes an error code.
 */

/*
 * Runs body(arg) and returns what it returns; -EFAULT when it touched a page
 * that is gone. What body() had half done stays half done: while it reads the
 * mapping it must hold nothing that only it could release. May be nested, and
 * used by any number of threads that do not block SIGBUS. Costs about 10 ns.
 */
int guard_run(int (*body)(void *arg), void *arg);

#endif
