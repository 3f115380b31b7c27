// The keys file on its disk: whose it is to write, and its text.
#include "proxy-config/keys_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace gateway {

namespace {

constexpr std::size_t largest = 1 << 20;

class descriptor {
public:
    // A pipe or a device must not hold the start, so it does not wait.
    explicit descriptor(const std::string& path)
        : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK))
    {
    }
    ~descriptor()
    {
        if (number_ >= 0) {
            ::close(number_);
        }
    }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    int number() const { return number_; }

private:
    int number_;
};

// What is wrong with it, or nothing.
std::string read_text(const descriptor& file, std::string& text)
{
    std::array<char, 16 * 1024> block;
    for (;;) {
        const auto n = ::read(file.number(), block.data(), block.size());
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return std::string("cannot be read: ") + std::strerror(errno);
        }
        if (n == 0) {
            return {};
        }
        text.append(block.data(), static_cast<std::size_t>(n));
        if (text.size() > largest) {
            return "is over 1 MiB";
        }
    }
}

}  // namespace

void read_keys_file(config::auth_settings& auth, std::vector<config_mistake>& mistakes)
{
    auth.keys.clear();
    auth.keys_note.clear();
    if (!auth.keys_file) {
        return;
    }
    const std::string& path = *auth.keys_file;
    const auto wrong = [&](const std::string& what) {
        mistakes.push_back({"auth.keys_file", path + " " + what});
    };
    const descriptor file(path);
    struct stat found {};
    if (file.number() < 0 || ::fstat(file.number(), &found) != 0) {
        wrong(std::string("cannot be read: ") + std::strerror(errno));
        return;
    }
    if (!S_ISREG(found.st_mode)) {
        wrong("is no file");
        return;
    }
    // Whoever can write it can let himself in.
    if ((found.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        wrong("can be written by others than its owner: chmod 600 it");
        return;
    }
    std::string text;
    if (std::string why = read_text(file, text); !why.empty()) {
        wrong(why);
        return;
    }
    if ((found.st_mode & S_IROTH) != 0) {
        auth.keys_note = path + " can be read by everybody on this machine: chmod 600 it";
    }
    auth.keys = parse_keys(text, path, mistakes);
}

}  // namespace gateway
