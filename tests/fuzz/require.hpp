// Aborts where something does not hold, and says where.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <source_location>

inline void require(bool holds, std::source_location here = std::source_location::current())
{
    if (holds)
        return;
    std::fprintf(stderr, "line %u does not hold\n", unsigned(here.line()));
    std::abort();
}
