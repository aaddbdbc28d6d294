/*
 * herdctl places query: what a member would find near a point, without one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/location.h"
#include "core/message.h"
#include "core/places.h"
#include "ctl/ctl.h"
#include "places/embedded.h"

CLEANUP_POINTER(struct places, places_free);

/* "34.07", "-118.4": degrees as people type them, in units of 10^-7. */
static bool
parse_degrees(const char *given, double most, int32_t *ret_e7)
{
	char *end;
	double value = strtod(given, &end);

	if (end == given || *end || strspn(given, "+-.0123456789") != strlen(given) || !(value >= -most) ||
	    !(value <= most))
		return false;
	*ret_e7 = (int32_t)(value * 1e7 + (value < 0 ? -0.5 : 0.5));
	return true;
}

/* Takes one or two operands; returns how many, or 0 when they say no place. */
static int
parse_point(int argc, char **argv, struct places_query *query)
{
	struct location location;

	if (argc == 3) {
		if (location_parse(text_of(argv[0]), &location) != 0)
			return 0;
		query->lat_e7 = location.lat_e7;
		query->lon_e7 = location.lon_e7;
		return 1;
	}
	return parse_degrees(argv[0], 90, &query->lat_e7) && parse_degrees(argv[1], 180, &query->lon_e7) ? 2
													 : 0;
}

static int
parse_query(const struct ctl *ctl, int argc, char **argv, struct places_query *ret)
{
	const char *rank = options_value(ctl->options, "rank");
	int used = parse_point(argc, argv, ret);

	if (!used)
		return ctl_fail(
			CTL_USAGE,
			"Where? Give latitude and longitude in degrees (34.07 -118.45), or a location "
			"(+34.07-118.45)");
	argv += used;
	if (!message_parse_radius(text_of(argv[0]), &ret->radius_km))
		return ctl_fail(CTL_USAGE, "'%s' is no radius: 0 to %d kilometres", argv[0],
				MESSAGE_RADIUS_MAX_KM);
	if (!message_parse_bound(text_of(argv[1]), &ret->bound))
		return ctl_fail(CTL_USAGE, "'%s' is no bound: 0 to %d places", argv[1], MESSAGE_BOUND_MAX);
	ret->rank = ctl->conf->places_rank == CONF_RANK_DISTANCE ? PLACES_DISTANCE : PLACES_PROMINENCE;
	if (rank && places_rank_parse(text_of(rank), &ret->rank) != 0)
		return ctl_fail(CTL_USAGE, "--rank takes prominence or distance, not '%s'", rank);
	return 0;
}

/* The file asked for; else the one of the settings; else, as members do, the one built in. */
static int
open_places(const struct ctl *ctl, struct places **ret, const char **ret_source)
{
	const char *given = options_value(ctl->options, "file");
	const char *path = given ? given : ctl->conf->places_file;
	struct text built_in = places_embedded();
	int r = places_open(ret, path);

	*ret_source = path;
	if (r == -ENOENT && !given) {
		*ret_source = "built in";
		r = places_from_memory(ret, built_in.at, built_in.len);
	}
	if (r == -EPROTO)
		return ctl_fail(CTL_FAILED, "'%s' is no places file, or one of another version", path);
	if (r == -EBADMSG || r == -EFAULT)
		return ctl_fail(CTL_FAILED, "The places file '%s' is damaged", path);
	if (r < 0)
		return ctl_fail(CTL_FAILED, "Cannot read the places file '%s': %s", path, strerror(-r));
	return 0;
}

enum { TYPES_MAX = PLACES_TEXT_MAX / 2 + 1 };

/* "park,tourist_attraction" taken apart in place; the first is what it is. */
static size_t
split_types(char *bytes, struct text types, const char *ret[TYPES_MAX])
{
	size_t count = 0;
	char *type;

	snprintf(bytes, PLACES_TEXT_MAX + 1, "%.*s", (int)types.len, types.at);
	while ((type = strsep(&bytes, ",")))
		if (*type && count < TYPES_MAX)
			ret[count++] = type;
	return count;
}

static void
show_place(struct writer *w, const struct place *p)
{
	const char *types[TYPES_MAX];
	char bytes[PLACES_TEXT_MAX + 1];
	size_t count = split_types(bytes, p->types, types);

	writer_object_begin(w, NULL);
	writer_style(w, WRITER_STRONG);
	writer_text(w, "name", p->name);
	writer_string(w, "type", count ? types[0] : "");
	writer_real(w, "distance_m", p->distance_m, 1);
	writer_real(w, "latitude", p->lat_e7 / 1e7, 7);
	writer_real(w, "longitude", p->lon_e7 / 1e7, 7);
	writer_count(w, "prominence", p->prominence);
	writer_text(w, "vicinity", p->vicinity);
	writer_details(w, true);
	writer_text(w, "place_id", p->id);
	writer_strings(w, "types", types, count);
	writer_details(w, false);
	writer_object_end(w);
}

static int
query_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(places_freep) struct places *places = NULL;
	struct places_query query;
	struct places_found found;
	const char *source = "";
	int r;

	r = parse_query(ctl, argc, argv, &query);
	if (r == 0)
		r = open_places(ctl, &places, &source);
	if (r != 0)
		return r;
	r = places_nearby(places, &query, &found);
	if (r < 0)
		return r;
	writer_object_begin(ctl->out, NULL);
	writer_details(ctl->out, true);
	writer_string(ctl->out, "source", source);
	writer_count(ctl->out, "places", places_count(places));
	writer_string(ctl->out, "rank", places_rank_name(query.rank));
	writer_text(ctl->out, "attribution", places_attribution(places));
	writer_details(ctl->out, false);
	writer_list_begin(ctl->out, "found");
	for (size_t i = 0; i < found.count; i++)
		show_place(ctl->out, &found.place[i]);
	writer_list_end(ctl->out);
	writer_object_end(ctl->out);
	return found.count ? CTL_OK : CTL_NO;
}

const struct command command_places_query = {
	.name = "places query",
	.operands = "LAT LON|LOCATION RADIUS BOUND",
	.help = "Look for places near a point",
	.more = "LAT and LON are degrees, LOCATION both as in +34.068930-118.445127; RADIUS is 0 to 50 "
		"kilometres,\n"
		"BOUND 0 to 20 places. Exit code 1: nothing there.",
	.entries =
		(const struct options_entry[]){
			{.name = "rank",
			 .argument = "RANK",
			 .help = "prominence or distance (default: the setting places.rank)"},
			{.name = "file",
			 .argument = "FILE",
			 .help = "Look in this places file (default: the setting places.file, or what is "
				 "built in)"},
			{0},
		},
	.operands_min = 3,
	.operands_max = 4,
	.run = query_run,
};
