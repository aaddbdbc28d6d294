/*
 * One row for each member and service, because each member asks, and pays, for
 * itself.
 */
#include "ctl/services.h"

#include "ctl/reply.h"

static void
show_service(struct writer *w, const char *member, const struct json_object *service)
{
	static const char *const counts[] = {"asked",	"answered",  "coalesced", "cached",   "failed",
					     "retried", "under_way", "waiting",	  "day_used", "day_max"};
	bool is_ok = text_equal(reply_text(service, "state"), TEXT("ok"));

	writer_object_begin(w, NULL);
	writer_style(w, WRITER_STRONG);
	writer_string(w, "member", member);
	writer_text(w, "provider", reply_text(service, "provider"));
	writer_style(w, is_ok ? WRITER_GOOD : WRITER_WARNING);
	writer_text(w, "state", reply_text(service, "state"));
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		writer_short(w, counts[i], reply_count(service, counts[i]));
	writer_details(w, true);
	writer_text(w, "why", reply_text(service, "why"));
	writer_details(w, false);
	writer_object_end(w);
}

void
services_show(struct writer *w, const struct programs *p)
{
	writer_list_begin(w, "places");
	for (size_t i = 0; i < p->count; i++) {
		const struct json_object *list = p->at[i].reply ? reply_list(p->at[i].reply, "places") : NULL;

		for (size_t k = 0; k < reply_length(list); k++)
			show_service(w, p->at[i].name, reply_entry(list, k));
	}
	writer_list_end(w);
}
