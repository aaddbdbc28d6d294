#ifndef CTL_SYSTEMCTL_H
#define CTL_SYSTEMCTL_H
/*
 * systemctl, found in PATH, run to its end, which is bounded.
 */
#include <stddef.h>

enum { SYSTEMCTL_ARGUMENTS_MAX = 16 };

/* Runs it with these arguments (NULL at the end, at most SYSTEMCTL_ARGUMENTS_MAX with it) besides --no-ask-password. What it says is shown when it
   fails; `unless` then ends the sentence: "nothing was changed". 0, or CTL_FAILED, said. */
int systemctl(const char *const arguments[], const char *unless);

/* The same where nothing depends on it and nobody has to know. */
void systemctl_quietly(const char *const arguments[]);

/* The same for a question: 0: yes; 1: no; negative errno. */
int systemctl_asks(const char *const arguments[]);

/* Whether systemd runs this unit of the program `name`. 0, or CTL_FAILED, said; `unless` as above. */
int systemctl_must_be_active(const char *unit, const char *name, const char *unless);

#endif
