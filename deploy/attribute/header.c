/* Names are compared without letter case, blanks, hyphens, points and underscores: "Customer ID",
 * customerId and customer_id are one. Where several of a file's columns may be meant, the first
 * rank decides; two of one rank are a question to the user. */
#include "deploy/attribute/header.h"

#include <ctype.h>
#include <strings.h>

#include "schemas/error.h"
#include "schemas/nearest.h"

#define RANKS 5
#define NAME_SIZE_MAX 64
#define KNOWN_MAX 64
#define USUAL_MAX 64     /* names of one column */
#define OPTIONAL_COUNT 6 /* names of columns that a file may lack */

/* As they are told. */
static const char *const own_names[COLUMN_COUNT] = {
    [COLUMN_PATH] = "path",
    [COLUMN_CONVERSIONS] = "total_conversions",
    [COLUMN_VALUE] = "total_conversion_value",
    [COLUMN_NULL] = "total_null",
    [COLUMN_CONVERTED] = "conversion",
    [COLUMN_CUSTOMER] = "customer_id",
    [COLUMN_TIME] = "time",
    [COLUMN_CHANNEL] = "channel",
    [COLUMN_TYPE] = "interaction",
    [COLUMN_CURRENCY] = "currency",
    [COLUMN_LEAD] = "is_lead",
    [COLUMN_OPPORTUNITY] = "is_opportunity",
};

/* Ranks of usual names, each between blanks. Source: the exports of ChannelAttribution, GA4 and
 * Universal Analytics (BigQuery), Snowplow (atomic.events, attribution), Segment's warehouses,
 * Adobe's data feeds, Mixpanel, Amplitude, Matomo. */
static const char *const usual[COLUMN_COUNT][RANKS] = {
    [COLUMN_PATH] = {" path ",
        " channelsagg channels journey transformedpath touchpoints channelpath conversionpath "
        "pathchannels channelsequence "},
    [COLUMN_CONVERSIONS] = {" totalconversions ",
        " conversions conversioncount conv totalconv numconversions nconversions "},
    [COLUMN_VALUE] = {" totalconversionvalue ", " conversionvalue ",
        " value revenue amount conversionrevenue totalrevenue totalvalue purchaserevenue "
        "ecommercepurchaserevenue ordervalue ordertotal transactionrevenue cvtotalvalue "},
    [COLUMN_NULL] = {" totalnull totalnulls ",
        " null nulls nonconversions nullcount nonconverting totalnonconversions "},
    [COLUMN_CONVERTED] = {" conversion converted ",
        " isconversion hasconverted isconverted hasconversion hastransaction conversionflag "
        "convertedflag "},
    [COLUMN_CUSTOMER] = {" customerid ",
        " customer customerkey userid uid user visitorid clientid contactid contactkey cookieid "
        "cookie personid person profileid memberid subscriberid userpseudoid fullvisitorid "
        "domainuserid networkuserid anonymousid deviceid mcvisid ecid distinctid amplitudeid "
        "customeridentifier useridentifier crmid leadid idvisitor ",
        " id client visitor "},
    [COLUMN_TIME] = {" time ", " timestamp ts ",
        " eventtimestamp eventtime eventdatetime eventtstamp occurredat touchedat startedat "
        "datetime visitstarttime visitstarttimestamp visitstarttstamp starttstamp derivedtstamp "
        "sessionstart sessionstarttime sessionstarttimestamp sessionstartedat touchpointtime "
        "touchtime clicktime interactiontime originaltimestamp ",
        " collectortstamp dvcecreatedtstamp hittimegmt servertime visittime createdat sentat "
        "receivedat ",
        " date eventdate visitdate sessiondate day "},
    [COLUMN_CHANNEL] = {" channel ",
        " channelgrouping channelgroup defaultchannelgroup defaultchannelgrouping "
        "sessiondefaultchannelgroup sessiondefaultchannelgrouping marketingchannel channelname "
        "trafficchannel lasttouchchannel vacloserid touchpoint ",
        " source utmsource mktsource trafficsource trafficsourcesource sessionsource "
        "campaignsource contextcampaignsource collectedtrafficsourcemanualsource ",
        " sourcemedium sessionsourcemedium ",
        " medium utmmedium mktmedium trafficsourcemedium sessionmedium campaignmedium "
        "contextcampaignmedium "},
    [COLUMN_TYPE] = {" interaction interactiontype ", " type eventtype eventname touchtype ",
        " event kind "},
    [COLUMN_CURRENCY] = {" currency currencycode "},
    [COLUMN_LEAD] = {" islead "},
    [COLUMN_OPPORTUNITY] = {" isopportunity "},
};

/* Names of columns of events, first those that tell most, and events that convert. Source: GA4
 * ("purchase", "in_app_purchase", "ecommerce_purchase"), Segment's e-commerce specification ("Order
 * Completed"), Snowplow ("transaction"), Shopify ("checkout_completed"), EVENT. */
static const char *const event_names[] = {" eventname ", " event ", " eventtype "};
#define EVENT_NAMES_COUNT (sizeof event_names / sizeof *event_names)
static const char converting[] = " purchase ordercompleted storepurchase transaction inapppurchase "
                                 "ecommercepurchase checkoutcompleted conversion ";

/* One reading. */
struct headings {
    const struct attribute_options *options;
    const struct str *names;
    size_t count;
};

static struct str trim(struct str text)
{
    while (text.size && isspace((unsigned char)text.data[0]))
        text = str_make(text.data + 1, text.size - 1);
    while (text.size && isspace((unsigned char)text.data[text.size - 1]))
        text.size--;
    return text;
}

/* Between blanks, as the ranks have it; false where it cannot be a usual name. */
static bool squash(struct str name, char out[NAME_SIZE_MAX])
{
    size_t size = 0;
    out[size++] = ' ';
    for (size_t i = 0; i < name.size; i++) {
        if (memchr(" _-.", name.data[i], 4))
            continue;
        if (!isalnum((unsigned char)name.data[i]) || size + 2 >= NAME_SIZE_MAX)
            return false;
        out[size++] = (char)tolower((unsigned char)name.data[i]);
    }
    out[size] = ' ';
    out[size + 1] = 0;
    return size > 1;
}

/* Whether a name may mean the column, by that rank or as the user says. */
static bool means(
    const struct headings *headings, size_t i, enum attribute_column column, size_t rank)
{
    const char *wanted = headings->options->columns[column];
    struct str name = trim(headings->names[i]);
    char text[NAME_SIZE_MAX];
    if (wanted)
        return name.size == strlen(wanted) && strncasecmp(name.data, wanted, name.size) == 0;
    return usual[column][rank] && squash(name, text) && strstr(usual[column][rank], text);
}

bool attribute_event_converts(struct str event)
{
    char text[NAME_SIZE_MAX];
    return squash(event, text) && strstr(converting, text);
}

/* The column's field. second: another of the same rank, or HEADER_NO_FIELD. */
static size_t find(const struct headings *headings, enum attribute_column column, size_t *second)
{
    size_t ranks = headings->options->columns[column] ? 1 : RANKS;
    *second = HEADER_NO_FIELD;
    for (size_t rank = 0; rank < ranks; rank++) {
        size_t found = HEADER_NO_FIELD;
        for (size_t i = 0; i < headings->count; i++) {
            if (!means(headings, i, column, rank))
                continue;
            if (found != HEADER_NO_FIELD) {
                *second = i;
                return found;
            }
            found = i;
        }
        if (found != HEADER_NO_FIELD)
            return found;
    }
    return HEADER_NO_FIELD;
}

static bool meant(const struct headings *headings, size_t i)
{
    for (int column = 0; column < COLUMN_COUNT; column++)
        for (size_t rank = 0; rank < (headings->options->columns[column] ? 1 : RANKS); rank++)
            if (means(headings, i, (enum attribute_column)column, rank))
                return true;
    return false;
}

/* The usual names of a column. */
static size_t list_usual(enum attribute_column column, struct str out[USUAL_MAX])
{
    size_t count = 0;
    for (size_t rank = 0; rank < RANKS && usual[column][rank]; rank++)
        for (const char *at = usual[column][rank]; *at && count < USUAL_MAX; at++) {
            size_t size = strcspn(at, " ");
            if (size)
                out[count++] = str_make(at, size);
            at += size - (size > 0);
        }
    return count;
}

/* The heading that is nearest to a name, or else to any usual name of the column; empty: none. */
static struct str nearest_heading(
    const struct headings *headings, enum attribute_column column, struct str name)
{
    struct str known[KNOWN_MAX], names[USUAL_MAX];
    size_t count = headings->count < KNOWN_MAX ? headings->count : KNOWN_MAX;
    for (size_t i = 0; i < count; i++)
        known[i] = trim(headings->names[i]);
    struct str near = nearest_name(name, known, count);
    size_t usual_count = list_usual(column, names);
    for (size_t i = 0; i < count && !near.size; i++)
        if (!meant(headings, i) && nearest_name(known[i], names, usual_count).size)
            near = known[i];
    return near;
}

/* Says which column is missing, and what is nearest to it. */
static int missing(const struct headings *headings, enum attribute_column column)
{
    const struct attribute_options *options = headings->options;
    const char *name = options->columns[column] ? options->columns[column] : own_names[column];
    struct str near = nearest_heading(headings, column, str_of(name));
    (void)fprintf(options->messages, "%s:1: no column \"%s\" for %s", options->name, name,
        attribute_column_name(column));
    if (near.size)
        (void)fprintf(options->messages, " (did you mean \"%.*s\"?)", (int)near.size, near.data);
    (void)fprintf(
        options->messages, "; --column %s=NAME names another\n", attribute_column_name(column));
    return ERR_CONFIG;
}

/* Whether all but two letters in one place are the same, letter case aside. */
static bool slip(struct str a, struct str b)
{
    size_t least = a.size < b.size ? a.size : b.size, most = a.size + b.size - least, head = 0,
           tail = 0;
    while (head < least && strncasecmp(a.data + head, b.data + head, 1) == 0)
        head++;
    while (tail < least - head &&
           strncasecmp(a.data + a.size - 1 - tail, b.data + b.size - 1 - tail, 1) == 0)
        tail++;
    return head + tail + 2 >= most;
}

/* A column that a file may lack: one that is nearly spelled so would be passed over in silence. A
 * longer name that begins so ("conversion_id") is another thing. */
static int misspelled(const struct headings *headings, enum attribute_column column)
{
    static const struct {
        enum attribute_column column;
        struct str name;
    } optional[OPTIONAL_COUNT] = {
        {COLUMN_CONVERSIONS, STR_INIT("total_conversions")},
        {COLUMN_CONVERSIONS, STR_INIT("conversions")},
        {COLUMN_VALUE, STR_INIT("total_conversion_value")},
        {COLUMN_VALUE, STR_INIT("conversion_value")},
        {COLUMN_NULL, STR_INIT("total_null")},
        {COLUMN_CONVERTED, STR_INIT("conversion")},
    };
    const struct attribute_options *options = headings->options;
    for (size_t i = 0; i < OPTIONAL_COUNT * headings->count; i++) {
        size_t field = i / OPTIONAL_COUNT;
        struct str name = trim(headings->names[field]), near = optional[i % OPTIONAL_COUNT].name;
        if (optional[i % OPTIONAL_COUNT].column != column || !slip(name, near) ||
            meant(headings, field) ||
            (name.size > near.size && strncasecmp(name.data, near.data, near.size) == 0))
            continue;
        (void)fprintf(options->messages,
            "%s:1: unknown column %zu \"%.*s\" (did you mean \"%.*s\"?); --column %s=NAME takes "
            "it, or give it another name\n",
            options->name, field + 1, (int)name.size, name.data, (int)near.size, near.data,
            attribute_column_name(column));
        return ERR_CONFIG;
    }
    return 0;
}

/* Finds a column; two that may be meant are an error. */
static int settle(const struct headings *headings, enum attribute_column column, size_t *out)
{
    const struct attribute_options *options = headings->options;
    size_t second;
    *out = find(headings, column, &second);
    if (*out == HEADER_NO_FIELD)
        return options->columns[column] ? missing(headings, column) : misspelled(headings, column);
    if (second == HEADER_NO_FIELD)
        return 0;
    struct str a = trim(headings->names[*out]), b = trim(headings->names[second]);
    (void)fprintf(options->messages,
        "%s:1: %s may be column %zu \"%.*s\" or column %zu \"%.*s\"; --column %s=NAME says which\n",
        options->name, attribute_column_name(column), *out + 1, (int)a.size, a.data, second + 1,
        (int)b.size, b.data, attribute_column_name(column));
    return ERR_CONFIG;
}

static int settle_all(const struct headings *headings, const enum attribute_column *columns,
    size_t count, struct attribute_header *out)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = settle(headings, columns[i], &out->fields[columns[i]]);
    return r;
}

/* A touch has a customer, a time and a channel; a path has a path. Who has all is asked. */
static int judge_kind(const struct headings *headings, bool *events)
{
    static const enum attribute_column touch[] = {COLUMN_CUSTOMER, COLUMN_TIME, COLUMN_CHANNEL};
    const struct attribute_options *options = headings->options;
    size_t second, path = find(headings, COLUMN_PATH, &second), found = 0, named = 0;
    for (size_t i = 0; i < 3; i++) {
        found += find(headings, touch[i], &second) != HEADER_NO_FIELD;
        named += options->columns[touch[i]] != NULL;
    }
    *events = path == HEADER_NO_FIELD || (named && !options->columns[COLUMN_PATH]);
    if (*events || found < 3 || options->columns[COLUMN_PATH])
        return 0;
    struct str name = trim(headings->names[path]);
    (void)fprintf(options->messages,
        "%s:1: a row may be a path (column \"%.*s\") or a touch (customer, time and channel); "
        "--column path=NAME or --column channel=NAME says which\n",
        options->name, (int)name.size, name.data);
    return ERR_CONFIG;
}

/* The user's column of types, else a usual one of events. */
static size_t find_events(const struct headings *headings)
{
    char text[NAME_SIZE_MAX];
    size_t second;
    if (headings->options->columns[COLUMN_TYPE])
        return find(headings, COLUMN_TYPE, &second);
    for (size_t k = 0; k < EVENT_NAMES_COUNT; k++)
        for (size_t i = 0; i < headings->count; i++)
            if (squash(trim(headings->names[i]), text) && strcmp(text, event_names[k]) == 0)
                return i;
    return HEADER_NO_FIELD;
}

/* Without a column that tells conversions all would be 0. */
static int find_conversions(const struct headings *headings, struct attribute_header *out)
{
    if (out->fields[COLUMN_CONVERTED] != HEADER_NO_FIELD)
        return 0;
    out->event = find_events(headings);
    if (out->event == HEADER_NO_FIELD)
        return missing(headings, COLUMN_CONVERTED);
    struct str name = trim(headings->names[out->event]);
    (void)fprintf(headings->options->messages,
        "%s:1: no column \"conversion\": rows convert whose \"%.*s\" is a purchase (purchase, "
        "Order "
        "Completed, transaction ...)\n",
        headings->options->name, (int)name.size, name.data);
    return 0;
}

static int read_touches(const struct headings *headings, struct attribute_header *out)
{
    static const enum attribute_column columns[] = {COLUMN_CUSTOMER, COLUMN_TIME, COLUMN_CHANNEL,
        COLUMN_CONVERTED, COLUMN_VALUE, COLUMN_CURRENCY, COLUMN_LEAD, COLUMN_OPPORTUNITY,
        COLUMN_TYPE};
    const struct attribute_options *options = headings->options;
    bool typed = options->columns[COLUMN_TYPE] || options->lead.size || options->opportunity.size;
    int r = settle_all(headings, columns, typed ? 9 : 8, out);
    bool any = false;
    for (size_t i = 0; i < 3; i++)
        any |= out->fields[columns[i]] != HEADER_NO_FIELD;
    for (size_t i = 0; r == 0 && i < 3; i++)
        if (out->fields[columns[i]] == HEADER_NO_FIELD)
            r = missing(headings, any ? columns[i] : COLUMN_PATH);
    if (r == 0)
        r = find_conversions(headings, out);
    if (r < 0)
        return r;
    struct str time = trim(headings->names[out->fields[COLUMN_TIME]]);
    out->dates = time.size >= 4 && strncasecmp(time.data + time.size - 4, "date", 4) == 0;
    return 0;
}

static bool has_unread(const struct headings *headings)
{
    for (size_t i = 0; i < headings->count; i++)
        if (!meant(headings, i))
            return true;
    return false;
}

/* A column of values or nulls under a name that nobody knows would be left out in silence. */
static int tell_unread(const struct headings *headings, const struct attribute_header *header)
{
    FILE *messages = headings->options->messages;
    bool value = header->fields[COLUMN_VALUE] != HEADER_NO_FIELD;
    bool nulls = header->fields[COLUMN_NULL] != HEADER_NO_FIELD ||
                 header->fields[COLUMN_CONVERSIONS] == HEADER_NO_FIELD;
    if ((value && nulls) || !has_unread(headings))
        return 0;
    (void)fprintf(messages, "%s:1: no column for %s; not read:", headings->options->name,
        value   ? "nulls"
        : nulls ? "values"
                : "values, none for nulls");
    for (size_t i = 0; i < headings->count; i++)
        if (!meant(headings, i))
            (void)fprintf(messages, " \"%.*s\"", (int)trim(headings->names[i]).size,
                trim(headings->names[i]).data);
    (void)fprintf(messages, "; --column value=NAME, --column null=NAME take one\n");
    return 0;
}

static int read_paths(const struct headings *headings, struct attribute_header *out)
{
    static const enum attribute_column columns[] = {COLUMN_PATH, COLUMN_CONVERSIONS, COLUMN_VALUE,
        COLUMN_NULL, COLUMN_CURRENCY, COLUMN_CONVERTED};
    int r = settle_all(headings, columns, 5, out);
    if (r < 0 || out->fields[COLUMN_CONVERSIONS] != HEADER_NO_FIELD)
        return r < 0 ? r : tell_unread(headings, out);
    r = settle_all(headings, columns + 5, 1, out);
    if (r == 0 && out->fields[COLUMN_CONVERTED] == HEADER_NO_FIELD &&
        (out->fields[COLUMN_NULL] != HEADER_NO_FIELD || has_unread(headings)))
        return missing(headings, COLUMN_CONVERSIONS);
    return r < 0 ? r : tell_unread(headings, out);
}

int attribute_header_read(const struct attribute_options *options, const struct str *names,
    size_t count, struct attribute_header *out)
{
    const struct headings headings = {options, names, count};
    *out = (struct attribute_header){.count = count, .event = HEADER_NO_FIELD};
    for (int i = 0; i < COLUMN_COUNT; i++)
        out->fields[i] = HEADER_NO_FIELD;
    for (int i = 0; i < COLUMN_COUNT; i++) {
        size_t second;
        if (options->columns[i] &&
            find(&headings, (enum attribute_column)i, &second) == HEADER_NO_FIELD)
            return missing(&headings, (enum attribute_column)i);
    }
    int r = judge_kind(&headings, &out->events);
    if (r < 0)
        return r;
    return out->events ? read_touches(&headings, out) : read_paths(&headings, out);
}
