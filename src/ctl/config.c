/*
 * herdctl config: every setting as it is now, where that was said, and what it
 * would be if nobody had said anything.
 */
#include <string.h>

#include "ctl/ctl.h"

static const char *
next_setting(size_t index)
{
	return index < CONF_ID_COUNT ? conf_settings[index].name : NULL;
}

static void
show_setting(struct writer *w, const struct conf *conf, enum conf_id id, struct buffer *value)
{
	const struct conf_setting *setting = &conf_settings[id];

	writer_string(w, "section", conf_section_name(setting->section));
	writer_style(w, WRITER_STRONG);
	writer_string(w, "name", setting->name);
	writer_style(w, conf->origin[id] ? WRITER_GOOD : WRITER_PLAIN);
	writer_text(w, "value", (struct text){value->bytes, value->len});
	writer_string(w, "default", setting->default_text);
	writer_string(w, "takes_effect", setting->when == CONF_LIVE ? "live" : "restart");
	writer_string(w, "source", conf_origin(conf, id));
}

static int
show_one(struct writer *w, const struct conf *conf, const struct conf_setting *setting)
{
	CLEANUP(buffer_done) struct buffer value = {.max = 1 << 20};
	enum conf_id id = (enum conf_id)(setting - conf_settings);
	int r = conf_value_format(conf, id, &value);

	if (r < 0)
		return r;
	writer_object_begin(w, NULL);
	show_setting(w, conf, id, &value);
	writer_string(w, "help", setting->help);
	writer_object_end(w);
	return 0;
}

static int
show_all(struct writer *w, const struct conf *conf)
{
	CLEANUP(buffer_done) struct buffer value = {.max = 1 << 20};

	writer_object_begin(w, NULL);
	writer_list_begin(w, "settings");
	for (int i = 0; i < CONF_ID_COUNT; i++) {
		int r;

		value.len = 0;
		r = conf_value_format(conf, (enum conf_id)i, &value);
		if (r < 0)
			return r;
		writer_object_begin(w, NULL);
		show_setting(w, conf, (enum conf_id)i, &value);
		writer_details(w, true);
		writer_string(w, "help", conf_settings[i].help);
		writer_details(w, false);
		writer_object_end(w);
	}
	writer_list_end(w);
	writer_object_end(w);
	return 0;
}

static int
config_run(struct ctl *ctl, int argc, char **argv)
{
	struct conf_source source = options_source(ctl->global, options_value(ctl->options, "member"));
	CLEANUP(conf_done) struct conf conf = {};
	const struct conf_setting *setting;
	const char *meant;
	char choices[128];
	int r;

	r = conf_load(&conf, &source);
	if (r == CONF_E_INVALID)
		return CTL_CONFIG;
	if (r < 0)
		return r;
	if (!argc)
		return show_all(ctl->out, &conf);
	setting = conf_setting_find(text_of(argv[0]));
	if (setting)
		return show_one(ctl->out, &conf, setting);
	if (conf_setting_choices(text_of(argv[0]), choices, sizeof(choices)))
		return ctl_fail(CTL_NO, "There are several settings '%s': %s", argv[0], choices);
	meant = ctl_nearest(argv[0], next_setting);
	if (meant)
		return ctl_fail(CTL_NO, "There is no setting '%s'. Did you mean '%s'?", argv[0], meant);
	return ctl_fail(CTL_NO, "There is no setting '%s'; 'herdctl config' lists them", argv[0]);
}

const struct command command_config = {
	.name = "config",
	.operands = "[NAME]",
	.help = "Show the settings and where they come from",
	.more = "NAME is one setting (fix-ttl, or herd.fix-ttl). Exit code 1: there is no such setting;\n"
		"78: the settings have errors, which are listed with file and line.",
	.entries =
		(const struct options_entry[]){
			{.name = "member",
			 .argument = "NAME",
			 .help = "As the member of this name sees them"},
			{0},
		},
	.operands_max = 1,
	.run = config_run,
};
