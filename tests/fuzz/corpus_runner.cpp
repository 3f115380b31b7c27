// Runs a fuzzing function without a fuzzer: on each file of its committed corpus, then on a number
// of mutations of these. The seed is fixed: the same inputs each time. One that aborts is written
// to `failed-input` in the working directory.
//   corpus-NAME DIRECTORY MUTATIONS
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using bytes = std::vector<std::uint8_t>;

constexpr std::size_t longest = 64 * 1024;

const bytes* running = nullptr;

void keep_input(int)
{
    int file = ::open("failed-input", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || ::write(file, running->data(), running->size()) < 0)
        return;
    ::close(file);
}

// On the heap, exactly as long as it is: a read past its end is seen by AddressSanitizer.
void run(const bytes& input)
{
    running = &input;
    auto exact = std::make_unique<std::uint8_t[]>(input.size());
    std::copy(input.begin(), input.end(), exact.get());
    LLVMFuzzerTestOneInput(exact.get(), input.size());
}

class mutator {
public:
    explicit mutator(const std::vector<bytes>& corpus) : corpus_(corpus) {}

    bytes next()
    {
        bytes made = corpus_[below(corpus_.size())];
        for (auto left = 1 + below(6); left > 0; --left)
            change(made);
        if (made.size() > longest)
            made.resize(longest);
        return made;
    }

private:
    std::size_t below(std::size_t n) { return n == 0 ? 0 : random_() % n; }

    std::uint8_t telling_byte()
    {
        static constexpr std::string_view telling =
            "\t\n\r \"#%&'()+,-./0:;<=>?@[\\]^`{|}~\x7f\x80\xc3\xff";
        return below(2) == 0 ? static_cast<std::uint8_t>(telling[below(telling.size())])
                             : static_cast<std::uint8_t>(random_());
    }

    void change(bytes& b)
    {
        using distance = bytes::difference_type;
        auto at = below(b.size() + 1);
        auto until = at + below(std::min<std::size_t>(b.size() - at, 64) + 1);
        auto from = b.begin() + static_cast<distance>(at);
        auto to = b.begin() + static_cast<distance>(until);
        switch (below(6)) {
            case 0:  // another byte
                if (at < b.size())
                    b[at] = telling_byte();
                break;
            case 1:  // one more
                b.insert(from, telling_byte());
                break;
            case 2:  // some less
                b.erase(from, to);
                break;
            case 3: {  // some twice, or many times
                bytes part(from, to);
                for (auto times = 1 + (below(8) == 0 ? below(200) : 0); times > 0; --times)
                    b.insert(b.begin() + static_cast<distance>(at), part.begin(), part.end());
                break;
            }
            case 4: {  // the rest of another
                const bytes& other = corpus_[below(corpus_.size())];
                auto cut = below(other.size() + 1);
                b.erase(from, b.end());
                b.insert(b.end(), other.begin() + static_cast<distance>(cut), other.end());
                break;
            }
            default:  // one bit
                if (at < b.size())
                    b[at] ^= static_cast<std::uint8_t>(1U << below(8));
        }
    }

    const std::vector<bytes>& corpus_;
    std::mt19937_64 random_{20261122};
};

}  // namespace

int main(int argc, char** argv)
{
    if (argc != 3 || !std::filesystem::is_directory(argv[1])) {
        std::fprintf(stderr, "usage: %s DIRECTORY MUTATIONS, with a directory of inputs\n",
                     argv[0]);
        return 2;
    }
    std::signal(SIGABRT, keep_input);
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
        if (entry.is_regular_file())
            files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    std::vector<bytes> corpus;
    for (const auto& file : files) {
        std::ifstream in(file, std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
        run(corpus.back());
    }
    if (corpus.empty()) {
        std::fprintf(stderr, "%s is empty\n", argv[1]);
        return 2;
    }
    run({});
    mutator mutations(corpus);
    const long wanted = std::atol(argv[2]);
    for (long n = 0; n < wanted; ++n)
        run(mutations.next());
    std::printf("%zu inputs and %ld mutations\n", corpus.size(), wanted);
    return 0;
}
