/*
 * curl calls back to say which sockets and which moment it waits for, and must
 * not be called from there; so callbacks only set events, and what ended is
 * read when curl has returned.
 *
 * A connection of HTTP/2 that becomes readable may be milliseconds of work, and
 * dozens may at once. So sockets that are ready stand in a line, and a turn of
 * the loop takes of it what WORK_NS is enough for, one at least.
 *
 * The authorities are read when an engine is made. curl would read them with
 * the first connection: 18 ms for a system's 144 certificates, in which the
 * loop serves nobody. A socket on which nothing is sent for a minute is closed:
 * curl itself would look at it only with the next request.
 */
#include "places/fetch-engine.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "net/loop.h"

enum {
	ENGINE_MAGIC = 0x46454e47, /* "FENG" */
	IDLE_S = 60,
	SPARE_MAX = 256,	   /* handles kept for the next requests */
	RECEIVE_BUFFER = 16 << 10, /* a frame of HTTP/2: with less, 7.88 forgets streams until some timer */
	SEND_BUFFER = 16 << 10,	   /* curl's least */
	KEEPALIVE_S = 30,
	WORK_NS = 15000,
	WHY_MAX = 160,
};

/* A socket that curl wants watched. */
struct watch {
	TAILQ_ENTRY(watch) link; /* in the line, while it is ready */
	struct engine *engine;
	struct event *event;
	curl_socket_t fd;
	int ready;
};

TAILQ_HEAD(watch_line, watch);

struct engine {
	unsigned int magic;
	CURLM *multi;
	struct event_base *base;
	struct event *on_time, *on_idle, *on_work;
	struct watch_line line;
	bool *is_gone; /* set by engine_free(), while there is work */
	uint32_t under_way;
	engine_turned *turned;
	void *arg;
	uint64_t *connections;

	char *proxy, *user_agent;
	unsigned int connections_max, streams;
	X509_STORE *authorities; /* NULL: no_tls says why */
	char no_tls[WHY_MAX];

	CURL *spare[SPARE_MAX];
	size_t spare_count;
};

/* --- sockets and time ---------------------------------------------------------------- */

static void
engine_on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	struct engine *e = w->engine;

	(void)fd;
	assert(e->magic == ENGINE_MAGIC);
	if (!w->ready) {
		if (TAILQ_EMPTY(&e->line))
			event_active(e->on_work, EV_TIMEOUT, 0); /* behind all that is ready now */
		TAILQ_INSERT_TAIL(&e->line, w, link);
	}
	w->ready |= (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
}

static void
leave_line(struct watch *w)
{
	if (w->ready)
		TAILQ_REMOVE(&w->engine->line, w, link);
	w->ready = 0;
}

static void
engine_on_work(evutil_socket_t unused, short what, void *arg)
{
	static const struct timeval at_once = {0, 0};
	struct engine *e = arg;
	int64_t end = clock_monotonic_ns() + WORK_NS;
	struct watch *w;
	bool is_gone = false;

	(void)unused;
	(void)what;
	assert(e->magic == ENGINE_MAGIC);
	e->is_gone = &is_gone;
	while ((w = TAILQ_FIRST(&e->line)) != NULL) {
		int ready = w->ready, running;

		leave_line(w);
		(void)curl_multi_socket_action(e->multi, w->fd, ready, &running);
		e->turned(e->arg);
		if (is_gone)
			return;
		if (clock_monotonic_ns() >= end)
			break;
	}
	e->is_gone = NULL;
	if (!TAILQ_EMPTY(&e->line))
		(void)event_add(e->on_work, &at_once); /* the loop's next turn */
}

static void
engine_on_time(evutil_socket_t unused, short what, void *arg)
{
	struct engine *e = arg;

	(void)unused;
	(void)what;
	assert(e->magic == ENGINE_MAGIC);
	engine_kick(e);
	e->turned(e->arg);
}

/* From within curl. */
static int
set_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct engine *e = arg;
	struct watch *w = socket_arg;
	short wanted = (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));

	(void)easy;
	assert(e->magic == ENGINE_MAGIC);
	if (w) {
		leave_line(w);
		if (w->event)
			event_free(w->event);
		w->event = NULL;
	}
	if (what == CURL_POLL_REMOVE) {
		free(w);
		return 0;
	}
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			return -1;
		w->engine = e;
		w->fd = fd;
		(void)curl_multi_assign(e->multi, fd, w);
	}
	w->event = event_new(e->base, fd, (short)(wanted | EV_PERSIST), engine_on_socket, w);
	return w->event && event_add(w->event, NULL) == 0 ? 0 : -1;
}

/* From within curl. */
static int
set_time(CURLM *multi, long wait_ms, void *arg)
{
	struct engine *e = arg;
	struct timeval wait = {wait_ms / 1000, wait_ms % 1000 * 1000};

	(void)multi;
	assert(e->magic == ENGINE_MAGIC);
	if (wait_ms < 0)
		return event_del(e->on_time);
	return event_add(e->on_time, &wait);
}

/* --- connections ----------------------------------------------------------------- */

static bool
start_multi(struct engine *e)
{
	e->multi = curl_multi_init();
	return e->multi && curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, set_watch) == CURLM_OK &&
	       curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e) == CURLM_OK &&
	       curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, set_time) == CURLM_OK &&
	       curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e) == CURLM_OK &&
	       (e->streams == 0 ||
		curl_multi_setopt(e->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)e->streams) == CURLM_OK) &&
	       curl_multi_setopt(e->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)e->connections_max) ==
		       CURLM_OK &&
	       curl_multi_setopt(e->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)e->connections_max) ==
		       CURLM_OK &&
	       curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, (long)e->connections_max) == CURLM_OK;
}

static void
stop_multi(struct engine *e)
{
	if (e->multi)
		(void)curl_multi_cleanup(e->multi);
	e->multi = NULL;
	if (e->on_time)
		(void)event_del(e->on_time);
}

/* Nothing but a new multi handle closes connections that nobody uses. */
static void
engine_on_idle(evutil_socket_t unused, short what, void *arg)
{
	struct engine *e = arg;

	(void)unused;
	(void)what;
	assert(e->magic == ENGINE_MAGIC);
	if (e->under_way == 0)
		stop_multi(e);
}

/* --- what all transfers share ------------------------------------------------------ */

static CURLcode
set_authorities(CURL *easy, void *context, void *arg)
{
	struct engine *e = arg;

	(void)easy;
	assert(e->magic == ENGINE_MAGIC);
	if (!e->authorities)
		return CURLE_SSL_CACERT_BADFILE;
	SSL_CTX_set1_cert_store(context, e->authorities);
	return CURLE_OK;
}

static bool
set_socket_options(CURL *easy)
{
	return curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_S) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_S) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)IDLE_S) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
#if LIBCURL_VERSION_NUM >= 0x075700
	       /* Without it, giving up a request waits for the thread that resolves its name. */
	       curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
#endif
	       curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BUFFER) == CURLE_OK;
}

static bool
set_tls_options(CURL *easy, struct engine *e)
{
	return curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_CAINFO, NULL) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, NULL) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL) == CURLE_OK &&
#if LIBCURL_VERSION_NUM >= 0x075700
	       curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L) == CURLE_OK &&
#endif
	       curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, set_authorities) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, e) == CURLE_OK;
}

static bool
set_http_options(CURL *easy, const struct engine *e)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	if (curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK)
		return false;
#else
	if (curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS)) != CURLE_OK)
		return false;
#endif
	return curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
				(long)(ENGINE_IS_OLD ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS)) ==
		       CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
	       /* Both are set even if empty: else the environment is asked. */
	       curl_easy_setopt(easy, CURLOPT_PROXY, e->proxy) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_NOPROXY, "") == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_USERAGENT, e->user_agent) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip") == CURLE_OK;
}

CURL *
engine_get(struct engine *e)
{
	CURL *easy;

	if (e->spare_count)
		return e->spare[--e->spare_count];
	easy = curl_easy_init();
	if (easy && set_socket_options(easy) && set_tls_options(easy, e) && set_http_options(easy, e))
		return easy;
	curl_easy_cleanup(easy);
	return NULL;
}

void
engine_put(struct engine *e, CURL *easy)
{
	if (e->spare_count < SPARE_MAX)
		e->spare[e->spare_count++] = easy;
	else
		curl_easy_cleanup(easy);
}

void
engine_spread(struct engine *e, unsigned int streams)
{
	if (e->streams == streams)
		return;
	e->streams = streams;
	if (e->multi)
		(void)curl_multi_setopt(e->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)streams);
}

void
engine_count(struct engine *e)
{
	(*e->connections)++;
}

/* --- transfers --------------------------------------------------------------------- */

int
engine_add(struct engine *e, CURL *easy)
{
	(void)event_del(e->on_idle);
	if (!e->multi && !start_multi(e))
		return -ENOMEM;
	if (curl_multi_add_handle(e->multi, easy) != CURLM_OK)
		return -ENOMEM;
	e->under_way++;
	return 0;
}

void
engine_kick(struct engine *e)
{
	int running;

	if (e->multi)
		(void)curl_multi_socket_action(e->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

static void
leave_multi(struct engine *e, CURL *easy)
{
	static const struct timeval idle = {IDLE_S, 0};

	(void)curl_multi_remove_handle(e->multi, easy);
	assert(e->under_way > 0);
	if (--e->under_way == 0)
		(void)event_add(e->on_idle, &idle);
}

bool
engine_can_remove(CURL *easy)
{
	curl_off_t resolved_us = 0;

	return !ENGINE_IS_OLD ||
	       (curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved_us) == CURLE_OK &&
		resolved_us > 0);
}

/*
 * Of HTTP/2, curl 7.88 notes that the server is to be told, and tells it with
 * whatever is next to be sent or has come in on the connection. Where nobody
 * waits for anything that may be never; then the connection is closed, which
 * says the same, and is right for one on which nothing is answered any more.
 */
void
engine_remove(struct engine *e, CURL *easy)
{
	(void)curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	leave_multi(e, easy);
	(void)curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 0L);
}

CURL *
engine_take(struct engine *e, CURLcode *ret_code)
{
	CURLMsg *message;
	CURL *easy;
	int left;

	if (!e->multi)
		return NULL;
	do
		message = curl_multi_info_read(e->multi, &left);
	while (message && message->msg != CURLMSG_DONE);
	if (!message)
		return NULL;
	easy = message->easy_handle;
	*ret_code = message->data.result;
	leave_multi(e, easy);
	return easy;
}

uint32_t
engine_under_way(const struct engine *e)
{
	return e->under_way;
}

const char *
engine_no_tls(const struct engine *e)
{
	return e->no_tls;
}

/* --- beginning and end ----------------------------------------------------------------- */

const char *
engine_authorities(const char *ca_file, bool *ret_is_folder)
{
	const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);

	*ret_is_folder = !(ca_file && *ca_file) && !curl->cainfo;
	return ca_file && *ca_file ? ca_file : curl->cainfo ? curl->cainfo : curl->capath;
}

static void
read_authorities(struct engine *e, const char *ca_file)
{
	X509_STORE *store = X509_STORE_new();
	bool is_folder;
	const char *place = engine_authorities(ca_file, &is_folder);

	/* As curl does: an authority in the file need not be a root. */
	if (store && X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 && place &&
	    (is_folder ? X509_STORE_load_path(store, place) : X509_STORE_load_file(store, place)) == 1) {
		e->authorities = store;
		return;
	}
	X509_STORE_free(store);
	ERR_clear_error();
	snprintf(e->no_tls, sizeof(e->no_tls), "no certificates of authorities can be read from '%s'",
		 place ? place : "the system's place");
}

int
engine_new(struct engine **ret, struct event_base *base, const struct fetch_options *options,
	   engine_turned *turned, void *arg, uint64_t *connections)
{
	CLEANUP(engine_freep) struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->magic = ENGINE_MAGIC;
	e->base = base;
	e->turned = turned;
	e->arg = arg;
	e->connections = connections;
	e->connections_max = options->connections_max ? options->connections_max : 1;
	e->proxy = strdup(options->proxy ? options->proxy : "");
	e->user_agent = strdup(options->user_agent ? options->user_agent : "");
	e->on_time = event_new(base, -1, 0, engine_on_time, e);
	e->on_idle = event_new(base, -1, 0, engine_on_idle, e);
	e->on_work = event_new(base, -1, 0, engine_on_work, e);
	TAILQ_INIT(&e->line);
	if (!e->proxy || !e->user_agent || !e->on_time || !e->on_idle || !e->on_work || !start_multi(e))
		return -ENOMEM;
	read_authorities(e, options->ca_file);
	*ret = e;
	e = NULL;
	return 0;
}

struct engine *
engine_free(struct engine *e)
{
	if (!e)
		return NULL;
	assert(e->magic == ENGINE_MAGIC && e->under_way == 0);
	while (e->spare_count)
		curl_easy_cleanup(e->spare[--e->spare_count]);
	stop_multi(e);
	if (e->on_time)
		event_free(e->on_time);
	if (e->on_idle)
		event_free(e->on_idle);
	if (e->on_work)
		event_free(e->on_work);
	if (e->is_gone)
		*e->is_gone = true;
	X509_STORE_free(e->authorities);
	free(e->proxy);
	free(e->user_agent);
	e->magic = 0;
	free(e);
	return NULL;
}
