/*
 * The commands there are, in the order in which --help tells them.
 */
#include "ctl/ctl.h"

extern const struct command command_status, command_members, command_fixes, command_watch, command_iamat,
	command_whatsat, command_places_query, command_places_import, command_config, command_reload,
	command_add, command_remove, command_ca_init, command_ca_issue, command_ca_revoke, command_ca_crl,
	command_ca_list;

const struct command *const commands[] = {
	&command_status,       &command_members,       &command_fixes,
	&command_watch,	       &command_iamat,	       &command_whatsat,
	&command_places_query, &command_places_import, &command_config,
	&command_reload,       &command_add,	       &command_remove,
	&command_ca_init,      &command_ca_issue,      &command_ca_revoke,
	&command_ca_crl,       &command_ca_list,       NULL,
};
