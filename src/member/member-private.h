#ifndef MEMBER_MEMBER_PRIVATE_H
#define MEMBER_MEMBER_PRIVATE_H
/* What member.c, member-table.c and member-doors.c share. Whatever is not 0 has been logged. */
#include "member/member.h"

/* Opens the table, or a private one, and registers there. The doors are open: their addresses go in. */
int member_open_table(struct member *m);

/* Moves to another table when the name leads to one. Called every second, and when pages are gone. */
void member_follow_table(struct member *m);

/* Sockets that a service manager passes take the place of those that the settings name. None: -EDESTADDRREQ. */
int member_open_doors(struct member *m);

#endif
