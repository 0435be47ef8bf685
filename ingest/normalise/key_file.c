/* Invariant: one text a file. What was read is written again and compared, so nothing is accepted
 * that would be written otherwise. */
#include "ingest/normalise/key_file.h"

#include <stdio.h>
#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/time.h"

#define HEAD "tabiji keys 1"
#define PERSONS "persons "
#define ISSUED "issued "
#define HEX_SIZE (2 * TENANT_KEY_SIZE)
#define SUM_SIZE 8
#define NUMBER_MAX 9999999
#define WORDS 4 /* of a key's line */

static const char *const states[KEY_FILE_KEYS_MAX] = {"active", "next"};

bool key_file_id_valid(struct str id)
{
    if (id.size < 2 || id.size >= KEY_FILE_ID_SIZE || id.data[0] != 'k' || id.data[1] == '0')
        return false;
    for (size_t i = 1; i < id.size; i++)
        if (id.data[i] < '0' || id.data[i] > '9')
            return false;
    return true;
}

static uint32_t number_of(struct str id)
{
    uint32_t number = 0;
    for (size_t i = 1; i < id.size; i++)
        number = number * 10 + (uint32_t)(id.data[i] - '0');
    return number;
}

static void set_id(struct tenant_key *key, struct str id)
{
    memset(key->id, 0, sizeof key->id);
    memcpy(key->id, id.data, id.size);
}

/* ---- writing ---- */

static int write_hex(struct buf *out, const uint8_t secret[TENANT_KEY_SIZE])
{
    char hex[HEX_SIZE + 1];
    hex_encode(secret, TENANT_KEY_SIZE, hex);
    hex[HEX_SIZE] = '\n';
    int r = buf_append(out, hex, sizeof hex);
    explicit_bzero(hex, sizeof hex);
    return r;
}

static int write_key(struct buf *out, const struct tenant_key *key, const char *state)
{
    char time[TIME_TEXT_SIZE_MAX] = "-";
    if (key->created_at != KEY_FILE_TIME_UNKNOWN)
        (void)time_format(key->created_at, time);
    int r = buf_appendf(out, "%s %s %s ", key->id, state, time);
    return r < 0 ? r : write_hex(out, key->secret);
}

static int write_sum(struct buf *out)
{
    uint8_t digest[SHA256_SIZE];
    char hex[2 * SUM_SIZE];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update(&hash, buf_str(out));
    sha256_final(&hash, digest);
    hex_encode(digest, SUM_SIZE, hex);
    return buf_appendf(out, "sum %.*s\n", 2 * SUM_SIZE, hex);
}

int key_file_write(const struct key_file *file, struct buf *out)
{
    buf_clear(out);
    int r = buf_append_str(out, STR(HEAD "\n" PERSONS));
    if (r == 0)
        r = write_hex(out, file->person_key);
    if (r == 0)
        r = buf_appendf(out, ISSUED "k%u\n", file->issued);
    for (size_t i = 0; r == 0 && i < file->keys_count; i++)
        r = write_key(out, &file->keys[i], states[i]);
    return r < 0 ? r : write_sum(out);
}

/* ---- reading ---- */

/* Takes what stands before the next `end`. */
static struct str take(struct str *text, char end)
{
    const char *found = text->size ? memchr(text->data, end, text->size) : NULL;
    size_t size = found ? (size_t)(found - text->data) : text->size;
    struct str word = str_make(text->data, size);
    size += found != NULL;
    *text = str_make(text->data + size, text->size - size);
    return word;
}

static bool read_key(struct str line, struct tenant_key *out)
{
    struct str words[WORDS];
    for (size_t i = 0; i < WORDS; i++)
        words[i] = take(&line, ' ');
    if (!key_file_id_valid(words[0]) || !hex_decode(words[3], out->secret, TENANT_KEY_SIZE))
        return false;
    set_id(out, words[0]);
    out->created_at = KEY_FILE_TIME_UNKNOWN;
    return str_equal(words[2], STR("-")) || time_parse(words[2], &out->created_at) == 0;
}

static bool read_lines(struct str text, struct key_file *out)
{
    struct str head = take(&text, '\n'), persons = take(&text, '\n'), issued = take(&text, '\n');
    struct str lead = STR(PERSONS), lead_issued = STR(ISSUED);
    if (!str_equal(head, STR(HEAD)) || !str_starts_with(persons, lead) ||
        !str_starts_with(issued, lead_issued))
        return false;
    persons = str_make(persons.data + lead.size, persons.size - lead.size);
    issued = str_make(issued.data + lead_issued.size, issued.size - lead_issued.size);
    if (!hex_decode(persons, out->person_key, TENANT_KEY_SIZE) || !key_file_id_valid(issued))
        return false;
    out->issued = number_of(issued);
    out->keys_count = 0;
    while (out->keys_count < KEY_FILE_KEYS_MAX && str_starts_with(text, STR("k")))
        if (!read_key(take(&text, '\n'), &out->keys[out->keys_count++]))
            return false;
    return out->keys_count > 0;
}

/* Ids rise, none beyond the newest; a next key has a time: its pairs are told at it. */
static bool valid(const struct key_file *file)
{
    uint32_t before = 0;
    for (size_t i = 0; i < file->keys_count; i++) {
        uint32_t number = number_of(str_of(file->keys[i].id));
        if (number <= before || number > file->issued)
            return false;
        before = number;
    }
    return file->keys_count < 2 || file->keys[1].created_at != KEY_FILE_TIME_UNKNOWN;
}

static bool same_text(struct str written, struct str text)
{
    return str_equal(written, text) ||
           str_equal(str_make(written.data, written.size - 1), text); /* without its line end */
}

static int read_plain(
    const uint8_t secret[TENANT_KEY_SIZE], struct str legacy_id, struct key_file *out)
{
    if (!key_file_id_valid(legacy_id))
        return ERR_CONFIG;
    *out = (struct key_file){.keys_count = 1, .issued = number_of(legacy_id)};
    memcpy(out->person_key, secret, TENANT_KEY_SIZE);
    memcpy(out->keys[0].secret, secret, TENANT_KEY_SIZE);
    out->keys[0].created_at = KEY_FILE_TIME_UNKNOWN;
    set_id(&out->keys[0], legacy_id);
    return 0;
}

int key_file_read(struct str text, struct str legacy_id, struct key_file *out)
{
    uint8_t secret[TENANT_KEY_SIZE];
    struct key_file file = {.keys_count = 0};
    struct str plain = text;
    while (plain.size && (plain.data[plain.size - 1] == '\n' || plain.data[plain.size - 1] == '\r'))
        plain.size--;
    int r = ERR_CONFIG;
    if (hex_decode(plain, secret, sizeof secret)) {
        r = read_plain(secret, legacy_id, out);
    } else if (text.size <= KEY_FILE_SIZE_MAX && read_lines(text, &file) && valid(&file)) {
        struct buf again = {0};
        r = key_file_write(&file, &again);
        if (r == 0 && !same_text(buf_str(&again), text))
            r = ERR_CONFIG;
        if (again.size)
            explicit_bzero(again.data, again.size);
        buf_free(&again);
        if (r == 0)
            *out = file;
    }
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(&file, sizeof file);
    return r;
}

/* ---- changing ---- */

static void add(struct key_file *file, const uint8_t secret[TENANT_KEY_SIZE], int64_t now)
{
    struct tenant_key *key = &file->keys[file->keys_count++];
    memset(key, 0, sizeof *key);
    (void)snprintf(key->id, sizeof key->id, "k%u", ++file->issued % (NUMBER_MAX + 1));
    memcpy(key->secret, secret, TENANT_KEY_SIZE);
    key->created_at = now;
}

void key_file_new(struct key_file *out, const uint8_t person_key[TENANT_KEY_SIZE],
    const uint8_t secret[TENANT_KEY_SIZE], int64_t now_micros)
{
    *out = (struct key_file){.keys_count = 0};
    memcpy(out->person_key, person_key, TENANT_KEY_SIZE);
    add(out, secret, now_micros);
}

int key_file_rotate(
    struct key_file *file, const uint8_t secret[TENANT_KEY_SIZE], int64_t now_micros)
{
    if (file->keys_count == KEY_FILE_KEYS_MAX)
        return ERR_TOO_MANY;
    if (file->issued >= NUMBER_MAX)
        return ERR_NUMBER_RANGE;
    add(file, secret, now_micros);
    return 0;
}

int key_file_retire(struct key_file *file, struct str id)
{
    size_t at = 0;
    while (at < file->keys_count && !str_equal(str_of(file->keys[at].id), id))
        at++;
    if (at == file->keys_count)
        return ERR_NOT_FOUND;
    if (file->keys_count == 1)
        return ERR_TOO_FEW;
    if (at == 0)
        file->keys[0] = file->keys[1];
    file->keys_count = 1;
    explicit_bzero(&file->keys[1], sizeof file->keys[1]);
    return 0;
}
