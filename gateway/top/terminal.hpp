// The terminal as `top` uses it: keys without Enter, a screen of its own, and everything as it was
// when it is over.
#pragma once

#include <termios.h>

#include <cstddef>
#include <string_view>

namespace gateway::top {

class terminal {
public:
    terminal();
    ~terminal();
    terminal(const terminal&) = delete;
    terminal& operator=(const terminal&) = delete;

    struct size {
        std::size_t columns = 80;
        std::size_t lines = 24;
    };
    static size now();

    // The whole screen anew.
    static void show(std::string_view bytes);

private:
    termios before_{};
};

}  // namespace gateway::top
