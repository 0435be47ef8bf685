/*
 * SIGHUP: reads the configuration again, and takes over what may change while a program runs: the
 * level of messages, sources with their write keys, rates and origins, and with what the files of
 * their secrets and mappings say now, and the files of the tracking plan that the program started
 * with. All else would change what stored rows mean, or what was opened: it is named, and waits for
 * a restart. A configuration that is not sound changes nothing.
 */
#pragma once

#include "deploy/settings.h"
#include "deploy/verb/verb.h"

/* Does so, and says what came of it in the log. collector may be NULL: then sources wait, too,
 * where there are any. Threads: the main one. */
void reload(struct verb_call *call, struct settings *settings, struct collector *collector);

/* Lets go what reload() keeps; by settings_close(). Accepts NULL inside, leaves NULL. */
struct reloaded;
void reload_release(struct reloaded **reloaded);
