// In which language a waiting client is told.
#include "stream/frames.hpp"

#include "catch.hpp"

#include <string>
#include <string_view>
#include <vector>

using namespace gateway;

namespace {

const std::vector<message_text> catalogue = {{"fr", "fr {position}"},
                                             {"en", "en {position} {seconds}"},
                                             {"de", "de {position}"},
                                             {"pt-BR", "br"}};

}  // namespace

TEST_CASE("the message is in the language the client likes best")
{
    struct row {
        std::string_view header;
        std::string_view text;
    };
    const row rows[] = {
        {"", "en 2 9"},
        {"de", "de 2"},
        {"DE", "de 2"},
        {"de-CH", "de 2"},
        {"de-CH-1996", "de 2"},
        {"de-CH;q=0.9, en;q=0.8", "de 2"},
        {"en;q=0.8, de-CH;q=0.9", "de 2"},
        {"de;q=0.8,en;q=0.8", "de 2"},
        {"es, de;q=0.5", "de 2"},
        {"es", "en 2 9"},
        {"*", "en 2 9"},
        {"de;q=0, fr;q=0.001", "fr 2"},
        {"de;q=0", "en 2 9"},
        {"de;q=0.000", "en 2 9"},
        {"de ; q=0.1 , fr ; q=0.2", "fr 2"},
        {"pt", "br"},
        {"pt-BR", "br"},
        {"pt-PT, fr;q=0.5", "fr 2"},
        {"deu", "en 2 9"},
        {"d", "en 2 9"},
        {"-", "en 2 9"},
        {",,;;q=,=", "en 2 9"},
        {"de;q=x, fr;q=0.9", "de 2"},
        {"de;q=1.000", "de 2"},
    };
    for (const auto& row : rows) {
        INFO(row.header);
        CHECK(queue_message(catalogue, row.header, 2, 9) == row.text);
    }
}

TEST_CASE("a catalogue without English speaks what it has, and an empty one says nothing")
{
    CHECK(queue_message({{"de", "Platz {position}"}}, "fr", 3, 1) == "Platz 3");
    CHECK(queue_message({}, "fr", 3, 1).empty());
}

TEST_CASE("placeholders are filled wherever they stand and other braces stay")
{
    CHECK(queue_message({{"en", "{position}{seconds}{{position}} {x} {"}}, "", 3, 14) ==
          "314{3} {x} {");
    CHECK(queue_message({{"en", "plain"}}, "", 3, 14) == "plain");
}

TEST_CASE("an absurd language header costs no more than a look at its beginning")
{
    std::string header;
    for (int i = 0; i < 5000; ++i) {
        header += "xx;q=0.9,";
    }
    CHECK(queue_message(catalogue, header + "de", 2, 9) == "en 2 9");
}
