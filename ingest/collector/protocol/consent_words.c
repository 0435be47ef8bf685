/* Words that are in the common names. */
#include "ingest/collector/protocol/consent_words.h"

#include <strings.h>

#define WORDS_MAX 4

static bool holds_any(struct str text, const char *const words[WORDS_MAX])
{
    for (size_t w = 0; w < WORDS_MAX && words[w]; w++) {
        size_t size = strlen(words[w]);
        for (size_t i = 0; i + size <= text.size; i++)
            if (strncasecmp(text.data + i, words[w], size) == 0)
                return true;
    }
    return false;
}

void consent_grant(struct str category, struct consent *consent)
{
    static const char *const analytics[WORDS_MAX] = {
        "analytic", "measure", "statistic", "performance"};
    static const char *const ads[WORDS_MAX] = {"advert", "market", "target", NULL};
    static const char *const personalisation[WORDS_MAX] = {
        "personal", "functional", "prefer", NULL};
    if (holds_any(category, analytics))
        consent->analytics = CHOICE_GRANTED;
    if (holds_any(category, ads))
        consent->ads = CHOICE_GRANTED;
    if (holds_any(category, personalisation))
        consent->personalisation = CHOICE_GRANTED;
}
