/* What the files that ask tabiji.db share. */
#pragma once

#include "sinks/sqlite/read.h"

struct reader {
    sqlite3 *db;
};
