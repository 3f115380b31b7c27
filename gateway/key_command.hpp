// `ollama-gateway key new NAME`: makes a key, tells it once, and the line for the keys file.
#pragma once

#include <string>

namespace gateway {

struct key_wishes {
    std::string name;
    std::string may = "inference,jobs";
    std::string priority = "interactive";
};

// Writes two lines to standard output, the key and its line, and to standard error what to do with
// them. Returns the exit code of the program.
int make_new_key(const key_wishes& wanted);

}  // namespace gateway
