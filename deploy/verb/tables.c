#include "deploy/verb/tables.h"

#include <stdio.h>

#include "schemas/error.h"

int tables_open(struct verb_call *call, struct settings *settings, struct reader **out)
{
    const char *path = "";
    int r = settings_database(settings, &path);
    if (r == 0)
        r = reader_open(out, path);
    if (r == ERR_NOT_FOUND) {
        (void)fprintf(stderr,
            "tabiji %s: there is no database %s; `tabiji run`, `import` or `demo` makes one: is "
            "--data DIR the directory that was given to it?\n",
            call->verb->name, path);
        return EXIT_NOT_FOUND;
    }
    return r < 0 ? verb_fail(call, r, "%s", path) : 0;
}
