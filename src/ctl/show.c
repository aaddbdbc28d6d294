/*
 * Show: a fix has one look, whoever shows it. Its texts stay the client's own;
 * what can be computed from them goes to programs only.
 */
#include "ctl/show.h"

#include <json-c/json.h>

#include "base/clock.h"
#include "core/location.h"
#include "core/message.h"
#include "ctl/ctl.h"

/* The AT line has the skew as everybody else sees it: its third field. */
struct text
show_skew(const struct herd_fix *fix, char at[HERD_AT_MAX])
{
	struct text rest = {at, (size_t)(message_put_fix(at, fix) - at)};

	(void)text_take_field(&rest);
	(void)text_take_field(&rest);
	return text_take_field(&rest);
}

void
show_fix(struct writer *w, const struct herd_fix *fix, int64_t now_ns)
{
	struct text location = {fix->location, fix->location_len};
	char at[HERD_AT_MAX];
	struct location where;

	writer_style(w, WRITER_STRONG);
	writer_bytes(w, "id", "id_hex", (struct text){fix->id, fix->id_len});
	writer_text(w, "location", location);
	writer_text(w, "time", (struct text){fix->time, fix->time_len});
	writer_duration(w, "age", now_ns - fix->rx_ns);
	writer_text(w, "server", (struct text){fix->server, fix->server_len});
	writer_details(w, true);
	writer_text(w, "skew", show_skew(fix, at));
	writer_time(w, "received", fix->rx_ns);
	if (location_parse(location, &where) == 0) {
		writer_real(w, "latitude", where.lat_e7 / 1e7, 7);
		writer_real(w, "longitude", where.lon_e7 / 1e7, 7);
	}
	writer_details(w, false);
}

/* NULL: it is no JSON, or more than one. */
static struct json_object *
parse_json(struct text t)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *parsed;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	parsed = json_tokener_parse_ex(tokener, t.at, (int)t.len);
	if (parsed && json_tokener_get_parse_end(tokener) != t.len) {
		json_object_put(parsed);
		parsed = NULL;
	}
	json_tokener_free(tokener);
	return parsed;
}

static int
show_reply_json(struct writer *w, const struct client_reply *reply)
{
	struct json_object *places = NULL;

	if (reply->places.len) {
		places = parse_json(reply->places);
		if (!places)
			return ctl_fail(CTL_FAILED, "The places from %s are no JSON", reply->address);
	}
	writer_object_begin(w, NULL);
	writer_bool(w, "accepted", !reply->refused.at, "yes", "no");
	writer_string(w, "asked", reply->address);
	if (reply->refused.at) {
		writer_text(w, "refused", reply->refused);
	} else {
		writer_object_begin(w, "fix");
		show_fix(w, &reply->fix, clock_now_ns());
		writer_object_end(w);
	}
	if (places)
		writer_json(w, "places", places);
	writer_object_end(w);
	return reply->refused.at ? CTL_NO : CTL_OK;
}

int
show_reply(struct writer *w, const struct client_reply *reply)
{
	if (writer_is_json(w))
		return show_reply_json(w, reply);
	if (reply->refused.at) {
		writer_verbatim(w, (struct text){reply->refused.at - 2, reply->refused.len + 2}, false);
		return CTL_NO;
	}
	writer_verbatim(w, reply->at, false);
	if (reply->places.len)
		writer_verbatim(w, reply->places, true);
	return CTL_OK;
}
