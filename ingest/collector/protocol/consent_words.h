/*
 * Categories of consent, which each site names in its own way.
 */
#pragma once

#include "schemas/event.h"

/* Grants the purposes that a category's name speaks of: "analytics", "Performance cookies",
 * "advertisement", ... Nothing when it speaks of none. Threads: any. */
void consent_grant(struct str category, struct consent *consent);
