#ifndef HERD_CONTROL_H
#define HERD_CONTROL_H
/*
 * Control sockets: where a running program of the herd can be asked about
 * itself, and told to read its settings again.
 *
 * A Unix stream socket, for its own user and root only, in the folder that the
 * setting control-dir names: the name of the shared memory, then (no name has a
 * colon in it, so no two programs meet, nor does a member's line socket)
 *	":member:" and the member's name	/run/herd/herd:member:Alpha
 *	":flood"				/run/herd/herd:flood
 * Beside them are datagram sockets that a byte is sent to when there is something to look at in the table:
 *	":wake"					the helper's: members have told it something
 *	":wake:" and the member's name		a member's that waits for peers (ack-after)
 *
 * The client sends one line, "VERB" or "VERB ARGUMENT", ended by LF. The
 * program does what it says, sends one line of JSON, and closes. Members of
 * the object in every reply:
 *	ok		it was done
 *	messages	what an operator should read (absent: nothing)
 *	role		"member", "helper"
 *	name		of a member
 *	shm, pid, version
 * and those that the verb adds. More may come.
 */

#define HERD_CONTROL_MEMBER ":member:"
#define HERD_CONTROL_HELPER ":flood"

#define HERD_CONTROL_WAKE	 ":wake"
#define HERD_CONTROL_WAKE_MEMBER ":wake:"

enum {
	HERD_CONTROL_REQUEST_MAX = 640,	    /* bytes of a request, its LF included */
	HERD_CONTROL_REPLY_MAX = 128 << 10, /* of a reply, its LF included */
	HERD_CONTROL_PATH_MAX = 108,	    /* of a path, its NUL included: what an address has room for */
};

/*
 * How it is. Adds: status, the line that `systemctl status` shows; facts;
 * degraded and notes, lists of sentences. A member adds clients, how many are connected; draining, true after
 * "drain"; idle, nobody is connected and nobody is owed a reply; and places, as far as it asks services: a list of
 * {provider, state, why, asked, ...}. A helper that makes snapshots adds
 * snapshot, an object:
 *	time		when the walk of the last one began: seconds since 1970, as all times here
 *	current		when the table was last seen to have nothing that is not in it
 *	age		how long ago that is, in seconds
 *	fixes, bytes	in it
 *	number		of it
 *	took		seconds to write it; 0: it was loaded
 *	loaded		fixes that the start brought back
 *	written, unchanged, failed	attempts since the start
 *	error		while the last attempt has failed: why
 * Until there is one, the first seven are absent.
 */
#define HERD_CONTROL_STATUS "status"

/*
 * For a member: nobody comes in any more, who is connected stays; its sockets are closed. Adds what "status" adds. There
 * is no way back but a restart.
 */
#define HERD_CONTROL_DRAIN "drain"

/* Reads the settings again; the reply comes when they are in effect. Adds: changed, needs_restart, lists
   of settings. Not ok: they are bad, messages say why, and the old ones stay. */
#define HERD_CONTROL_RELOAD "reload"

/*
 * The helper's links to other hosts. Adds: host, host_id, herd, of this host; name_conflicts, how many names
 * of members are on more than one host; peers, a list of objects, one for each host it is linked with or wants to be:
 *	host, address, site	"": not known, none
 *	state			"up", "dialling", "waiting" for it to dial, "down"
 *	why			"neighbour", "stand-in" for one that is down, "guest" that has dialled
 *	dialled, tls		we dialled; it is encrypted
 *	since			when it came to this state
 *	rtt			seconds a PING took
 *	lag_changes, lag_seconds	not sent yet: changes, and the age of the oldest of them
 *	behind_ack		changes that were sent and not acknowledged yet
 *	lines_in, lines_out, bytes_in, bytes_out, fixes_in, fixes_out
 *	duplicates		fixes received that were no news
 *	resync			the last comparison of tables that ended: ended, took (seconds), lines_in, lines_out,
 *				buckets (compared), diverged (after a minute's ROOT, not after a reconnection)
 *	retry			seconds until it is dialled again
 *	error			why it is not up, or was not before
 * What is not known, or was never, is absent.
 */
#define HERD_CONTROL_PEERS "peers"

/*
 * "graph [FROM]": who is to be linked with whom when nobody is down, as this host computes it. Adds: drawn, true
 * when settings draw the graph and nobody computes it; hosts, a list of {name, site, neighbours: [name, ...]},
 * from number FROM (0) on, as many as fit; next, the FROM of those that follow, if any do.
 */
#define HERD_CONTROL_GRAPH "graph"

/*
 * "trace ID", the id in lower case hexadecimal: what it knows of this client. Adds: known; shared, false where a member
 * goes on with a table of its own; and of a fix that is known server, time (the client's, text), and received
 * (nanoseconds since 1970, text). A helper that is linked with other hosts adds
 *	host		of this host
 *	hosts		on which a member of that name is alive: a list of {host, host_id, own}; host is "" for one that
 *			is no neighbour
 *	since		when this host took it in, to a 16th of its age; at_start: it was here when the helper started,
 *			then since is that
 *	from		names of hosts that told this one of it, or, of those that were far behind, were told it
 *	peers		a list of {host, state}: "has" it, was "sent" it but has not acknowledged it, "waits" for it
 *	unasked		names of hosts that it is not linked with: whether they have it nobody knows here
 */
#define HERD_CONTROL_TRACE "trace"

#endif
