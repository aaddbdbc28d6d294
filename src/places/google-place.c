/*
 * The service `google`, one place of an answer: from the names and words of
 * Places API (New) to those of the old one. herd-places(5) has the table.
 *
 * proto3 leaves out of its JSON what is zero, false or empty, so a missing
 * latitude is the equator, and a field that nobody asked for is just missing.
 */
#include "places/service-private.h"

enum { PHOTOS_MAX = 10 };

bool
google_read_point(struct json_object *point, int32_t *ret_lat, int32_t *ret_lon)
{
	struct json_object *lat = NULL, *lon = NULL;
	int32_t lat_e7 = 0, lon_e7 = 0;

	if (!point)
		return false;
	if (json_object_object_get_ex(point, "latitude", &lat) && !tree_degrees(lat, 90, &lat_e7))
		return false;
	if (json_object_object_get_ex(point, "longitude", &lon) && !tree_degrees(lon, 180, &lon_e7))
		return false;
	*ret_lat = lat_e7;
	*ret_lon = lon_e7;
	return true;
}

static void
put_degrees_member(struct pen *p, struct text name, int32_t e7)
{
	pen_member(p, name);
	pen_degrees(p, e7);
}

static void
put_point(struct pen *p, struct text name, int32_t lat, int32_t lon)
{
	pen_member(p, name);
	pen_put(p, TEXT("{"));
	put_degrees_member(p, TEXT("lat"), lat);
	put_degrees_member(p, TEXT("lng"), lon);
	pen_put(p, TEXT("}"));
}

static void
put_geometry(struct pen *p, struct json_object *place, int32_t lat, int32_t lon)
{
	struct json_object *viewport = tree_get(place, "viewport", json_type_object);
	int32_t south, west, north, east;

	pen_member(p, TEXT("geometry"));
	pen_put(p, TEXT("{"));
	put_point(p, TEXT("location"), lat, lon);
	if (google_read_point(tree_get(viewport, "low", json_type_object), &south, &west) &&
	    google_read_point(tree_get(viewport, "high", json_type_object), &north, &east)) {
		pen_member(p, TEXT("viewport"));
		pen_put(p, TEXT("{"));
		put_point(p, TEXT("northeast"), north, east);
		put_point(p, TEXT("southwest"), south, west);
		pen_put(p, TEXT("}"));
	}
	pen_put(p, TEXT("}"));
}

/* A string under its legacy name, unless it is empty. */
static void
put_string(struct pen *p, const char *legacy, struct text value)
{
	if (!value.len)
		return;
	pen_member(p, text_of(legacy));
	pen_string(p, value);
}

static void
put_business_status(struct pen *p, struct json_object *place)
{
	struct text status = tree_string(place, "businessStatus");

	if (!text_equal(status, TEXT("BUSINESS_STATUS_UNSPECIFIED")))
		put_string(p, "business_status", status);
}

static void
put_opening_hours(struct pen *p, struct json_object *place)
{
	static const char *const hours[] = {"currentOpeningHours", "regularOpeningHours"};

	for (int i = 0; i < 2; i++) {
		struct json_object *open = tree_get(tree_get(place, hours[i], json_type_object), "openNow",
						    json_type_boolean);

		if (!open)
			continue;
		pen_member(p, TEXT("opening_hours"));
		pen_put(p, json_object_get_boolean(open) ? TEXT("{\"open_now\":true}")
							 : TEXT("{\"open_now\":false}"));
		return;
	}
}

static void
put_plus_code(struct pen *p, struct json_object *place)
{
	struct json_object *code = tree_get(place, "plusCode", json_type_object);
	struct text global = tree_string(code, "globalCode"), compound = tree_string(code, "compoundCode");

	if (!global.len && !compound.len)
		return;
	pen_member(p, TEXT("plus_code"));
	pen_put(p, TEXT("{"));
	put_string(p, "compound_code", compound);
	put_string(p, "global_code", global);
	pen_put(p, TEXT("}"));
}

static void
put_price_level(struct pen *p, struct json_object *place)
{
	static const struct text levels[] = {
		TEXT("PRICE_LEVEL_FREE"),	    TEXT("PRICE_LEVEL_INEXPENSIVE"),
		TEXT("PRICE_LEVEL_MODERATE"),	    TEXT("PRICE_LEVEL_EXPENSIVE"),
		TEXT("PRICE_LEVEL_VERY_EXPENSIVE"),
	};
	struct text level = tree_string(place, "priceLevel");

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (text_equal(level, levels[i])) {
			pen_member(p, TEXT("price_level"));
			pen_u64(p, i);
			return;
		}
}

/* A number as it was written. */
static void
put_number(struct pen *p, const char *legacy, struct json_object *from, const char *name)
{
	struct json_object *value = tree_get(from, name, json_type_int);

	if (!value)
		value = tree_get(from, name, json_type_double);
	if (!value)
		return;
	pen_member(p, text_of(legacy));
	pen_tree(p, value);
}

static void
put_types_list(struct pen *p, struct json_object *place)
{
	struct json_object *types = tree_get(place, "types", json_type_array);
	struct text first = tree_string(place, "primaryType");
	size_t count = types ? json_object_array_length(types) : 0;

	if (!types && !first.len)
		return;
	pen_member(p, TEXT("types"));
	pen_put(p, TEXT("["));
	if (first.len)
		pen_string(p, first);
	for (size_t i = 0; i < count; i++) {
		struct text type = tree_text(json_object_array_get_idx(types, i));

		if (!type.len || text_equal(type, first))
			continue;
		pen_next(p);
		pen_string(p, type);
	}
	pen_put(p, TEXT("]"));
}

/* Google's terms: a photo is shown with its authors. */
static void
put_authors(struct pen *p, struct json_object *photo)
{
	struct json_object *authors = tree_get(photo, "authorAttributions", json_type_array);
	size_t count = authors ? json_object_array_length(authors) : 0;

	pen_member(p, TEXT("html_attributions"));
	pen_put(p, TEXT("["));
	for (size_t i = 0; i < count; i++) {
		struct json_object *author = json_object_array_get_idx(authors, i);
		struct text name = tree_string(author, "displayName");

		if (!name.len)
			continue;
		pen_next(p);
		pen_link(p, name, tree_string(author, "uri"));
	}
	pen_put(p, TEXT("]"));
}

static void
put_photos(struct pen *p, struct json_object *place)
{
	struct json_object *photos = tree_get(place, "photos", json_type_array);
	size_t count = photos ? json_object_array_length(photos) : 0;
	bool any = false;

	for (size_t i = 0; i < count && i < PHOTOS_MAX; i++) {
		struct json_object *photo = json_object_array_get_idx(photos, i);
		struct text name = tree_string(photo, "name");

		if (!name.len)
			continue;
		if (!any) {
			pen_member(p, TEXT("photos"));
			pen_put(p, TEXT("["));
			any = true;
		}
		pen_next(p);
		pen_put(p, TEXT("{"));
		put_number(p, "height", photo, "heightPx");
		put_authors(p, photo);
		put_string(p, "photo_reference", name);
		put_number(p, "width", photo, "widthPx");
		pen_put(p, TEXT("}"));
	}
	if (any)
		pen_put(p, TEXT("]"));
}

void
google_put_place(struct pen *p, struct json_object *place, int32_t lat, int32_t lon)
{
	struct text id = tree_string(place, "id");
	struct text vicinity = tree_string(place, "shortFormattedAddress");

	if (!vicinity.len)
		vicinity = tree_string(place, "formattedAddress");
	pen_put(p, TEXT("{"));
	put_business_status(p, place);
	put_geometry(p, place, lat, lon);
	put_string(p, "icon_background_color", tree_string(place, "iconBackgroundColor"));
	put_string(p, "icon_mask_base_uri", tree_string(place, "iconMaskBaseUri"));
	put_string(p, "name", tree_string(tree_get(place, "displayName", json_type_object), "text"));
	put_opening_hours(p, place);
	put_photos(p, place);
	put_string(p, "place_id", id);
	put_plus_code(p, place);
	put_price_level(p, place);
	put_number(p, "rating", place, "rating");
	put_string(p, "reference", id);
	put_string(p, "scope", TEXT("GOOGLE"));
	put_types_list(p, place);
	put_number(p, "user_ratings_total", place, "userRatingCount");
	put_string(p, "vicinity", vicinity);
	pen_put(p, TEXT("}"));
}
