// How the store's file is laid out, and how an older one becomes that: by PRAGMA user_version.
#pragma once

#include "jobs/database.hpp"

namespace gateway {

// Brings the file to this version; one written by a newer program is left alone, and fails.
void migrate(database& db);

}  // namespace gateway
