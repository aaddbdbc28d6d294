"""What three places services accept and answer, as their documentation has it.

Every request is taken apart strictly. What the real service would refuse is
refused the same way, and whatever is not a documented request is a violation
besides, also where the real service might put up with it: a header nobody
asked for, a field of the wrong type, an unknown parameter. The places of an
answer lie around the place that was asked about and carry its position in
their names, so that an answer to somebody else's question is found out.
"""

import json
import math
import re
import urllib.parse

KEYS = {"google": "Herd-test_key.of~the~new~API-0123456789", "google-legacy": "Herd-test_key.of~the~old~API-9876543210"}
CONTACT = "herd-test@example.org"
PLACES = 20	# within the radius, around any place
EARTH_M = 6371008.8

# Whatever a client sends with any request: anything else says more than it should.
COMMON_HEADERS = {"host", "user-agent", "accept", "accept-encoding"}
FIELDS = {"id", "displayName", "location", "viewport", "types", "primaryType", "shortFormattedAddress",
	"formattedAddress", "businessStatus", "plusCode", "attributions", "rating", "userRatingCount", "priceLevel",
	"iconMaskBaseUri", "iconBackgroundColor", "currentOpeningHours", "regularOpeningHours", "photos"}
RPC_STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
	429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}
NUMBER = r"-?(?:0|[1-9]\d*)(?:\.\d+)?"
OVERPASS = re.compile(r"""\[out:json\]\[timeout:(?P<timeout>[1-9]\d*)\]\[maxsize:(?P<maxsize>[1-9]\d*)\];\s*
	nwr\(around:(?P<radius>%s),(?P<lat>%s),(?P<lon>%s)\)\["name"\]
	\[~"\^\((?P<kinds>[a-z|]+)\)\$"~"\."\];\s*
	out\ center\ qt\ (?P<count>[1-9]\d*);\s*""" % (NUMBER, NUMBER, NUMBER), re.VERBOSE)


class Refused(Exception):
	"""The request is not as documented: what the service would answer."""

	def __init__(self, why, status=400, body=None, reason=None):
		super().__init__(why)
		self.why, self.status, self.body, self.reason = why, status, body, reason


class Request:
	"""As it came: names of headers in lower case, the target with its query."""

	def __init__(self, method, target, headers, body, version):
		self.method, self.target, self.headers, self.body, self.version = method, target, headers, body, version
		self.path, _, self.query = target.partition("?")

	def header(self, name):
		values = [value for one, value in self.headers if one == name]
		if len(values) > 1:
			raise Refused("header %s came %d times" % (name, len(values)))
		return values[0] if values else None


class Question:
	"""What was asked: degrees, metres, at most so many."""

	def __init__(self, lat, lon, radius, count, fields=None):
		self.lat, self.lon, self.radius, self.count, self.fields = lat, lon, radius, count, fields

	def told(self):
		return {"lat": self.lat, "lon": self.lon, "radius": self.radius, "count": self.count}

	def places(self):
		"""(number, name, lat, lon): rings around, from 4 % of the radius out to 80 %."""
		for n in range(min(self.count, PLACES)):
			angle, away = n * 2.4, self.radius * 0.04 * (n + 1)
			lat = self.lat + math.degrees(away * math.cos(angle) / EARTH_M)
			lon = self.lon + math.degrees(away * math.sin(angle) / EARTH_M) / max(0.01, math.cos(math.radians(lat)))
			yield n, "Place %d of %.6f,%.6f" % (n, self.lat, self.lon), lat, (lon + 540) % 360 - 180


def want(condition, why, **refusal):
	if not condition:
		raise Refused(why, **refusal)


def is_number(value):
	return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_headers(request, more=()):
	"""Exactly what a documented request carries, and each once."""
	for name, _ in request.headers:
		request.header(name)
		want(name in COMMON_HEADERS or name in more, "unexpected header %s" % name)
	for name in more:
		want(request.header(name) is not None, "no header %s" % name)
	agent = request.header("user-agent") or ""
	want(re.fullmatch(r"herd/\d+\.\d+\.\d+\S*(?: \(\+\S+\))?", agent), "User-Agent %r" % agent, status=406)
	want(request.header("accept") in ("*/*", "application/json"), "Accept %r" % request.header("accept"))


# --- Places API (New) ----------------------------------------------------------

class Google:
	name = "google"
	path = "/v1/places:searchNearby"

	def ask(self, request):
		want(request.method == "POST" and not request.query, "%s %s" % (request.method, request.target), status=404)
		key = request.header("x-goog-api-key")
		want(key, "no key", status=403, reason="API_KEY_MISSING")
		want(key == KEYS["google"], "API key not valid. Please pass a valid API key.", reason="API_KEY_INVALID")
		check_headers(request, ("content-type", "content-length", "x-goog-api-key", "x-goog-fieldmask"))
		want(request.header("content-type") == "application/json", "Content-Type %r" % request.header("content-type"))
		mask = request.header("x-goog-fieldmask")
		want(re.fullmatch(r"places\.\w+(,places\.\w+)*", mask), "FieldMask is a required parameter: %r" % mask)
		fields = [field[len("places."):] for field in mask.split(",")]
		want(set(fields) <= FIELDS and len(set(fields)) == len(fields), "unknown or repeated field in %r" % mask)
		return self.ask_body(request.body, fields)

	def ask_body(self, text, fields):
		try:
			body = json.loads(text.decode("ascii"), object_pairs_hook=no_repeats)
		except ValueError as error:
			raise Refused("Invalid JSON payload received. %s" % error) from None
		want(isinstance(body, dict), "the body is no object")
		unknown = set(body) - {"maxResultCount", "rankPreference", "locationRestriction", "includedTypes", "languageCode",
			"regionCode"}
		want(not unknown, "Invalid JSON payload received. Unknown name %s" % unknown)
		count = body.get("maxResultCount", 20)
		want(type(count) is int and 1 <= count <= 20, "maxResultCount %r" % count)
		want(body.get("rankPreference", "POPULARITY") in ("POPULARITY", "DISTANCE"), "rankPreference")
		types = body.get("includedTypes", ["any"])
		want(isinstance(types, list) and 1 <= len(types) <= 50 and all(isinstance(t, str) and re.fullmatch(r"[a-z_]+", t)
			for t in types), "includedTypes %r" % types)
		for code in ("languageCode", "regionCode"):
			want(code not in body or re.fullmatch(r"[A-Za-z-]{2,10}", body[code]), code)
		restriction = body.get("locationRestriction")
		want(isinstance(restriction, dict) and set(restriction) == {"circle"}, "locationRestriction %r" % restriction)
		circle = restriction["circle"]
		want(isinstance(circle, dict) and set(circle) == {"center", "radius"}, "circle %r" % circle)
		center, radius = circle["center"], circle["radius"]
		want(is_number(radius) and 0 < radius <= 50000, "radius %r" % radius)
		want(isinstance(center, dict) and set(center) == {"latitude", "longitude"} and all(map(is_number, center.values())),
			"center %r" % center)
		want(abs(center["latitude"]) <= 90 and abs(center["longitude"]) <= 180, "center %r" % center)
		return Question(center["latitude"], center["longitude"], radius, count, fields)

	def answer(self, question):
		places = []
		for n, name, lat, lon in question.places():
			place = {"id": "ChIJ-%d" % n, "displayName": {"text": name, "languageCode": "en"},
				"location": {"latitude": lat, "longitude": lon},
				"viewport": {"low": {"latitude": lat - 0.001, "longitude": lon - 0.001},
					"high": {"latitude": lat + 0.001, "longitude": lon + 0.001}},
				"types": ["cafe", "food", "point_of_interest"], "primaryType": "cafe",
				"shortFormattedAddress": "%d Herd \u201cStreet\u201d" % n, "businessStatus": "OPERATIONAL",
				"plusCode": {"globalCode": "4RRH46R6+G2", "compoundCode": "46R6+G2 The Rocks"},
				"rating": 4.5, "userRatingCount": 1269, "priceLevel": "PRICE_LEVEL_MODERATE",
				"attributions": [{"provider": "A <provider> & \"co\"", "providerUri": "https://provider.example/?a=1&b=2"}]}
			places.append({field: place[field] for field in question.fields if field in place})
		return json.dumps({"places": places} if places else {}, ensure_ascii=False, indent=2).encode()

	def failure(self, status, why, reason=None):
		error = {"code": status, "message": why, "status": RPC_STATUS.get(status, "UNKNOWN")}
		if reason:
			error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}]
		return status, "application/json; charset=UTF-8", json.dumps({"error": error}, indent=2).encode()


# --- Nearby Search as it was ----------------------------------------------------

class GoogleLegacy:
	name = "google-legacy"
	path = "/maps/api/place/nearbysearch/json"

	def ask(self, request):
		want(request.method == "GET" and not request.body, "%s with %d bytes" % (request.method, len(request.body)), status=405)
		try:
			pairs = urllib.parse.parse_qsl(request.query, keep_blank_values=True, strict_parsing=True, errors="strict")
		except ValueError as error:
			raise Refused("query: %s" % error) from None
		query = dict(pairs)
		want(len(query) == len(pairs), "a parameter came twice")
		want(query.get("key") == KEYS["google-legacy"], "The provided API key is invalid.", reason="REQUEST_DENIED")
		check_headers(request)
		unknown = set(query) - {"location", "radius", "rankby", "key", "language", "type"}
		want(not unknown, "unknown parameters %s" % unknown)
		want(re.fullmatch("%s,%s" % (NUMBER, NUMBER), query.get("location", "")), "location %r" % query.get("location"))
		if "rankby" in query:	# then something says what of
			want(query["rankby"] == "distance" and "radius" not in query and "type" in query, "rankby with %s" % query)
		want("rankby" in query or re.fullmatch(NUMBER, query.get("radius", "")), "radius %r" % query.get("radius"))
		want(re.fullmatch(r"[a-z_]+", query.get("type", "any")), "type %r" % query.get("type"))
		want(re.fullmatch(r"[A-Za-z-]{2,10}", query.get("language", "en")), "language %r" % query.get("language"))
		lat, lon = map(float, query["location"].split(","))
		radius = float(query.get("radius", 50000))
		want(abs(lat) <= 90 and abs(lon) <= 180 and 0 < radius <= 50000, "out of range: %s" % request.query)
		return Question(lat, lon, radius, 20)

	def answer(self, question):
		results = []
		outside = (20, "Outside of it", question.lat + (1 if question.lat < 80 else -1) * 1.0, question.lon)
		for n, name, lat, lon in [outside] + list(question.places()):	# its radius is a bias, not a fence
			results.append({"business_status": "OPERATIONAL", "geometry": {"location": {"lat": lat, "lng": lon},
				"viewport": {"northeast": {"lat": lat, "lng": lon}, "southwest": {"lat": lat, "lng": lon}}},
				"icon": "https://maps.example/icon.png", "name": name, "opening_hours": {"open_now": False},
				"photos": [{"height": 608, "width": 1080, "html_attributions": ["<a href=\"https://x.example\">A</a>"],
					"photo_reference": "Aap_uEA"}],
				"place_id": "ChIJ-%d" % n, "plus_code": {"compound_code": "46R6+G2", "global_code": "4RRH46R6+G2"},
				"price_level": 2, "rating": 4, "reference": "ChIJ-%d" % n, "scope": "GOOGLE",
				"types": ["bar", "restaurant"], "user_ratings_total": 1269, "vicinity": "%d Herd Street" % n})
		return json.dumps({"html_attributions": ["Listings by <a href=\"https://x.example\">X</a>"],
			"next_page_token": "Aap_uEA7vb0DDYVJWEaX3O-AtYp77AaswQKSGtDaimt3gt7QCNpdjp1BkdM6acJ96xTec3tsV_ZJNL_JP-lqsVxydG3nh739RE_hepOO",
			"results": results, "status": "OK"}, indent=3).encode()

	def failure(self, status, why, reason=None):
		"""Its own failures are answers with status 200; what stands before it has others."""
		words = {400: "INVALID_REQUEST", 403: "REQUEST_DENIED", 429: "OVER_QUERY_LIMIT"}
		word = reason or words.get(status, "UNKNOWN_ERROR")
		body = json.dumps({"error_message": why, "html_attributions": [], "results": [], "status": word}).encode()
		return 200 if status < 500 else status, "application/json; charset=UTF-8", body


# --- OpenStreetMap ----------------------------------------------------------------

class Overpass:
	name = "overpass"
	path = "/api/interpreter"
	alone = True	# two at a time are one too many

	def ask(self, request):
		want(request.method == "POST" and not request.query, "%s %s" % (request.method, request.target))
		agent = request.header("user-agent") or ""
		want(re.fullmatch(r"herd/\d+\.\d+\.\d+\S* \(\+%s\)" % re.escape(CONTACT), agent), "User-Agent %r" % agent, status=406)
		check_headers(request, ("content-type", "content-length"))
		want(request.header("content-type") == "application/x-www-form-urlencoded", "Content-Type %r" % request.header("content-type"))
		try:
			form = urllib.parse.parse_qsl(request.body.decode("ascii"), strict_parsing=True, errors="strict")
		except ValueError as error:
			raise Refused("form: %s" % error) from None
		want([name for name, _ in form] == ["data"], "form of %r" % [name for name, _ in form])
		found = OVERPASS.fullmatch(form[0][1])
		want(found, "query %r" % form[0][1])
		number = {name: float(found.group(name)) for name in ("radius", "lat", "lon", "count", "timeout", "maxsize")}
		want(0 < number["radius"] <= 5000 and abs(number["lat"]) <= 90 and abs(number["lon"]) <= 180, "out of range: %r" % number)
		want(number["timeout"] <= 60 and number["count"] <= 512 and number["maxsize"] <= 64 << 20, "greedy: %r" % number)
		kinds = found.group("kinds").split("|")
		want(set(kinds) == {"amenity", "shop", "tourism", "leisure", "historic", "office"}, "kinds %r" % kinds)
		return Question(number["lat"], number["lon"], number["radius"], int(number["count"]))

	def answer(self, question):
		elements = []
		for n, name, lat, lon in question.places():
			tags = {"name": name, "amenity": "cafe"} if n % 2 else {"name": name, "tourism": "museum", "addr:street": "Herd Street"}
			place = {"lat": lat, "lon": lon}
			elements.append(dict(place, type="node", id=n + 1, tags=tags) if n % 3 else
				{"type": "way", "id": n + 1, "center": place, "tags": tags})
		elements.reverse()	# in no order that anybody promised
		return json.dumps({"version": 0.6, "generator": "Overpass API 0.7.62", "osm3s": {"timestamp_osm_base": "2026-11-22T00:00:00Z",
			"copyright": "The data included in this document is from www.openstreetmap.org. The data is made available under ODbL."},
			"elements": elements}, indent=2).encode()

	def failure(self, status, why, reason=None):
		return status, "text/html; charset=utf-8", ("<?xml version=\"1.0\"?>\n<html><body><p>%s</p></body></html>" % why).encode()


def no_repeats(pairs):
	found = dict(pairs)
	if len(found) != len(pairs):
		raise ValueError("a name came twice")
	return found


SERVICES = {service.name: service for service in (Google(), GoogleLegacy(), Overpass())}
