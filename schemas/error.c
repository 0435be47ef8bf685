/* The error list as tables. No state. */
#include "schemas/error.h"

static const struct {
    int code;
    enum error_class class;
    const char *name;
    const char *text;
} errors[] = {
#define X(symbol, number, class, name, text) {number, ERROR_CLASS_##class, name, text},
    ERROR_LIST(X)
#undef X
};

static size_t find(int error)
{
    size_t i = 0;
    while (i < sizeof errors / sizeof *errors && errors[i].code != error)
        i++;
    return i;
}

enum error_class error_class(int error)
{
    size_t i = find(error);
    return i < sizeof errors / sizeof *errors ? errors[i].class : ERROR_CLASS_FATAL;
}

const char *error_name(int error)
{
    size_t i = find(error);
    return i < sizeof errors / sizeof *errors ? errors[i].name : "unknown";
}

const char *error_text(int error)
{
    size_t i = find(error);
    return i < sizeof errors / sizeof *errors ? errors[i].text : "unknown error";
}
