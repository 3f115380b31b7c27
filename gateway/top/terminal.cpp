#include "top/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace gateway::top {

namespace {

void write_all(std::string_view bytes)
{
    while (!bytes.empty()) {
        auto n = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
        if (n < 0 && errno != EINTR)
            return;
        bytes.remove_prefix(n < 0 ? 0 : std::size_t(n));
    }
}

}  // namespace

terminal::terminal()
{
    ::tcgetattr(STDIN_FILENO, &before_);
    auto raw = before_;
    raw.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    write_all("\x1b[?1049h\x1b[?25l");  // the other screen, no cursor
}

terminal::~terminal()
{
    write_all("\x1b[?25h\x1b[?1049l");
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

terminal::size terminal::now()
{
    winsize w{};
    size s;
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col != 0 && w.ws_row != 0)
        s = {w.ws_col, w.ws_row};
    return s;
}

void terminal::show(std::string_view bytes)
{
    // Overwritten line by line and cleared behind: no flicker.
    write_all("\x1b[H" + std::string(bytes) + "\x1b[J");
}

}  // namespace gateway::top
