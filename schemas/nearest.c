#include "schemas/nearest.h"

#define ROWS 3

/* Letters that count, lower case. */
struct letters {
    char data[NEAREST_NAME_SIZE_MAX];
    size_t size;
};

static bool fold(struct str name, struct letters *out)
{
    out->size = 0;
    if (name.size > NEAREST_NAME_SIZE_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        if (c == '-' || c == '_' || c == ' ')
            continue;
        out->data[out->size++] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    return true;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Rows i-2, i-1 and i of the distance matrix are kept. */
static size_t distance(const struct letters *a, const struct letters *b)
{
    size_t rows[ROWS][NEAREST_NAME_SIZE_MAX + 1];
    for (size_t j = 0; j <= b->size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a->size; i++) {
        size_t *row = rows[i % ROWS];
        const size_t *above = rows[(i - 1) % ROWS];
        row[0] = i;
        for (size_t j = 1; j <= b->size; j++) {
            size_t cost = a->data[i - 1] != b->data[j - 1];
            row[j] = least(least(above[j] + 1, row[j - 1] + 1), above[j - 1] + cost);
            bool swapped = i > 1 && j > 1 && a->data[i - 1] == b->data[j - 2] &&
                           a->data[i - 2] == b->data[j - 1];
            if (swapped)
                row[j] = least(row[j], rows[(i - 2) % ROWS][j - 2] + 1);
        }
    }
    return rows[a->size % ROWS][b->size];
}

struct str nearest_within(struct str name, const struct str *known, size_t count, size_t edits_max)
{
    struct str best = {NULL, 0};
    struct letters wrong, right;
    if (!fold(name, &wrong) || wrong.size == 0)
        return best;
    size_t best_rank = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        if (!fold(known[i], &right))
            continue;
        size_t longer = wrong.size > right.size ? wrong.size : right.size;
        size_t found = distance(&wrong, &right);
        /* Of equals the one of the same length: a letter is more often wrong than missing. */
        size_t rank = 2 * found + (wrong.size != right.size);
        if (rank < best_rank && found <= edits_max && 3 * found <= longer) {
            best_rank = rank;
            best = known[i];
        }
    }
    return best;
}

struct str nearest_name(struct str name, const struct str *known, size_t count)
{
    return nearest_within(name, known, count, SIZE_MAX);
}
