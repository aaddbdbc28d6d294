#ifndef NET_TRACE_H
#define NET_TRACE_H
/*
 * Trace: what a program's table holds of one client, for whoever asks at its
 * control socket (HERD_CONTROL_TRACE).
 */
#include "core/table.h"
#include "net/control.h"

enum { TRACE_E_UNKNOWN = 2 }; /* beside CONTROL_E_UNKNOWN */

/* argument: the id in hexadecimal. Adds to the reply and sets it ok. 0: *ret_fix is it; TRACE_E_UNKNOWN: there is no such
   client; CONTROL_E_UNKNOWN: that is no id. */
int
trace_answer(struct table *table, struct text argument, struct json_object *reply, struct herd_fix *ret_fix);

#endif
