// Numbers as logs and headers tell them.
#include "base/digits.hpp"
#include "catch.hpp"

#include <limits>
#include <string>

using namespace gateway;

TEST_CASE("whole numbers and thousandths are appended to what is there")
{
    struct row {
        std::int64_t n;
        std::string whole, thousandths;
    };
    constexpr auto least = std::numeric_limits<std::int64_t>::min();
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    for (const auto& [n, whole, thousandths] : {
             row{0, "0", "0.000"},
             row{5, "5", "0.005"},
             row{-5, "-5", "-0.005"},
             row{10, "10", "0.010"},
             row{999, "999", "0.999"},
             row{1000, "1000", "1.000"},
             row{-1234, "-1234", "-1.234"},
             row{86399999, "86399999", "86399.999"},
             row{most, "9223372036854775807", "9223372036854775.807"},
             row{least, "-9223372036854775808", "-9223372036854775.808"},
         }) {
        std::string text = "n=";
        append_number(text, n);
        CHECK(text == "n=" + whole);
        text = "n=";
        append_thousandths(text, n);
        CHECK(text == "n=" + thousandths);
    }
}
