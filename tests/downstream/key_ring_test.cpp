// What a request shows and whether it is a key: secrets, and signatures that Ollama's own client
// made.
#include "downstream/key_ring.hpp"

#include "catch.hpp"
#include "downstream/secret_key.hpp"
#include "proxy-config/keys_file.hpp"

#include <array>
#include <random>

using namespace gateway;

namespace {

std::array<std::uint8_t, key_bytes> random_bytes(unsigned seed)
{
    std::mt19937 random(seed);
    std::array<std::uint8_t, key_bytes> bytes{};
    for (auto& b : bytes) {
        b = static_cast<std::uint8_t>(random());
    }
    return bytes;
}

const made_key ada = make_key(random_bytes(1), "ada", usual_scopes, false);
const made_key bob = make_key(random_bytes(2), "bob", {scope::inference}, true);

request_head head_with(std::vector<field> fields)
{
    request_head head;
    head.method = "POST";
    head.target = head.path = "/api/chat";
    head.fields = std::move(fields);
    return head;
}

// The name of the key that the fields show, or why there is none; "-" when nothing was shown.
std::string shown_by(std::vector<field> fields)
{
    static const key_ring ring({ada.kept, bob.kept});
    const auto shown = ring.verify(head_with(std::move(fields)), 0);
    return shown.key != nullptr ? shown.key->name
           : shown.why.empty()  ? "-"
                                : std::string(shown.why);
}

// --- what Ollama's own client (api/client.go, auth/auth.go) sent for a key made with ssh-keygen
// ---

const std::string public_key =
    "AAAAC3NzaC1lZDI1NTE5AAAAIA4MDGl6GA785Ceiaoa8/vRLAk6AEuFXq8P9aqDKirAQ";
constexpr std::int64_t signed_at = 1795686894;

struct recorded {
    const char* method;
    const char* path;
    const char* signature;
};

const std::vector<recorded> recordings{
    {"HEAD", "/",
     "Axsgo9JCmAhdRoadwg3l17uS7AYZ7AUfPsj0YQ9JXYotUwgtrln0wXrLIzFs1l+u0dViWHBdnjmrwwHORwz0Cg=="},
    {"GET", "/api/version",
     "6+T2Ga7mB90iV13QYR8PK+JqQaWd0/g6bWI6PPcr67lJ3PVHwUAzyqhrbLcqgf6jec8O5yGz6jtdZyaOfdESAQ=="},
    {"GET", "/api/tags",
     "339G3RXDo4aymbomE0hqEFIEjd2ifafuCyIuWMBQe6uMvAri4iy4yBZLQ1jRPJcFSOd8J/XOZtbcAL/VTcXZCw=="},
    {"POST", "/api/show",
     "wt9tkn/EQa/P3wl4I3gPploN0QKW+CfSJcomQ460oA3xSPxRxoCrOzQf4cCAdJDXT37KfFqT5E9WgrOV8IZmCA=="},
    {"POST", "/api/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
     "L4rXdxsWmPK5tqUpf2wsLL/QXQWzsUHLGqutDVXyrjugKEmMzt64hK7ho/I4GG2prabAnVmo0D7V5h0085hHDQ=="},
    {"POST", "/api/chat",
     "Zqz23MBOUbrT2IGRalgLX+lLXmnHxjSp2tyYzOwwNXqlMss3WJGQizn/160EZCT7SGdWMprdEFQnYt1ot24cDg=="}};

const key_ring& signers()
{
    static const key_ring ring([] {
        access_key key;
        key.what = access_key::type::ed25519_key;
        key.value = *read_ed25519_key(public_key);
        key.name = "laptop";
        return std::vector<access_key>{key};
    }());
    return ring;
}

request_head signed_head(const recorded& r, const std::string& query, const std::string& key,
                         const std::string& signature)
{
    request_head head = head_with({{"Authorization", key + ":" + signature}});
    head.method = r.method;
    head.path = r.path;
    head.query = query;
    head.target = head.path + (query.empty() ? "" : "?" + query);
    return head;
}

request_head as_sent(const recorded& r)
{
    return signed_head(r, "ts=" + std::to_string(signed_at), public_key, r.signature);
}

std::string verdict(const request_head& head, std::int64_t now = signed_at)
{
    const auto shown = signers().verify(head, now);
    return shown.key != nullptr ? shown.key->name : std::string(shown.why);
}

}  // namespace

TEST_CASE("a key is its id and 256 bits more, and its hash is that of the whole text")
{
    CHECK(is_key(ada.text));
    CHECK(ada.text.size() == 64);
    CHECK(ada.text.starts_with(ada.kept.id + "_"));
    CHECK(is_key_id(ada.kept.id));
    CHECK(ada.text != bob.text);
    CHECK(line_of(ada.kept).find(ada.text.substr(12)) == std::string::npos);
    // printf %s abc | sha256sum
    CHECK(hash_of_key("abc")[0] == 0xba);
    CHECK(hash_of_key("abc")[31] == 0xad);
    CHECK(hash_of_key(ada.text) == ada.kept.value);
}

TEST_CASE("a key is shown as Bearer or as X-Api-Key")
{
    CHECK(shown_by({}) == "-");
    CHECK(shown_by({{"Authorization", "Bearer " + ada.text}}) == "ada");
    CHECK(shown_by({{"authorization", "bearer  " + ada.text}}) == "ada");
    CHECK(shown_by({{"x-api-key", bob.text}}) == "bob");
    CHECK(shown_by({{"Authorization", ""}}) == "-");
    CHECK(shown_by({{"Authorization", ""}, {"X-Api-Key", bob.text}}) == "bob");
    // What SDKs send whose users have no key to give.
    CHECK(shown_by({{"Authorization", "Bearer ollama"}, {"X-Api-Key", bob.text}}) == "bob");
    CHECK(shown_by({{"Authorization", "Bearer " + ada.text}, {"X-Api-Key", "none"}}) == "ada");
    CHECK(shown_by({{"Authorization", "Bearer " + ada.text}, {"X-Api-Key", bob.text}}) == "ada");
}

TEST_CASE("what is no key of the ring is none, and it is told that it is not known")
{
    const std::string not_known = "this key is none of those in auth.keys_file";
    std::string other = ada.text;
    other.back() = other.back() == 'a' ? 'b' : 'a';
    std::string upper = ada.text;
    upper.back() = 'A';
    const std::string stranger = make_key(random_bytes(9), "x", usual_scopes, false).text;
    const std::string crossed = ada.kept.id + bob.text.substr(key_id_size);
    for (const std::string& wrong :
         {other, upper, stranger, crossed, ada.text + "a", ada.text.substr(0, 63), ada.kept.id,
          std::string("ollama"), std::string("gw_"), std::string(5000, 'a'),
          ada.text + " " + bob.text, line_of(ada.kept)}) {
        CAPTURE(wrong);
        CHECK(shown_by({{"Authorization", "Bearer " + wrong}}) == not_known);
        CHECK(shown_by({{"X-Api-Key", wrong}}) == not_known);
    }
    CHECK(shown_by({{"Authorization", "Basic YWRhOmFkYQ=="}}) ==
          "the only Authorization understood here is Bearer KEY");
    CHECK(shown_by({{"Authorization", ada.text}}) ==
          "the only Authorization understood here is Bearer KEY");
    CHECK(shown_by({{"Authorization", "Bearer"}}) ==
          "the only Authorization understood here is Bearer KEY");
    CHECK(shown_by({{"Authorization", "Bearer "}}) == not_known);
}

TEST_CASE("two different keys in one header are no key")
{
    const field one{"Authorization", "Bearer " + ada.text};
    const field two{"Authorization", "Bearer " + bob.text};
    CHECK(shown_by({one, two}) == "two different keys are shown in one request");
    CHECK(shown_by({two, one}) == "two different keys are shown in one request");
    CHECK(shown_by({one, {"AUTHORIZATION", one.value}}) == "ada");
    CHECK(shown_by({{"X-Api-Key", ada.text}, {"X-Api-Key", bob.text}}) ==
          "two different keys are shown in one request");
}

TEST_CASE("an empty ring knows nobody")
{
    const key_ring none;
    CHECK(none.empty());
    CHECK(none.verify(head_with({{"X-Api-Key", ada.text}}), 0).key == nullptr);
    CHECK(none.verify(as_sent(recordings[0]), signed_at).key == nullptr);
}

TEST_CASE("what the ollama command signs is verified")
{
    for (const auto& r : recordings) {
        CAPTURE(r.path);
        CHECK(verdict(as_sent(r)) == "laptop");
    }
}

TEST_CASE("a signature holds for its method, path, query and key only")
{
    const auto& chat = recordings.back();
    const std::string ts = "ts=" + std::to_string(signed_at);
    const std::string wrong = "the signature is not one of this request";
    auto head = as_sent(chat);
    head.method = "GET";
    CHECK(verdict(head) == wrong);
    head = as_sent(chat);
    head.target = "/api/generate?" + ts;
    CHECK(verdict(head) == wrong);
    CHECK(verdict(signed_head(chat, ts + "&queue_events=1", public_key, chat.signature)) == wrong);
    CHECK(verdict(signed_head(chat, "x=1&" + ts, public_key, chat.signature)) == wrong);
    CHECK(verdict(signed_head(chat, "ts=" + std::to_string(signed_at + 1), public_key,
                              chat.signature)) == wrong);
    CHECK(verdict(signed_head(chat, ts, public_key, recordings.front().signature)) == wrong);

    const std::string more_than_once = "a signed request says its time once, in ?ts=";
    for (const std::string& query :
         {std::string(), std::string("ts="), std::string("ts=x"), ts + "&" + ts, ts + "&ts=1",
          std::string("ts=-1"), std::string("ts=99999999999999999999"), "x" + ts}) {
        CAPTURE(query);
        CHECK(verdict(signed_head(chat, query, public_key, chat.signature)) == more_than_once);
    }
}

TEST_CASE("a signature is good for five minutes before and after its time")
{
    const auto head = as_sent(recordings.back());
    const std::string old = "the signature is too old, or the clock here or there is wrong";
    CHECK(verdict(head, signed_at + signature_window) == "laptop");
    CHECK(verdict(head, signed_at - signature_window) == "laptop");
    CHECK(verdict(head, signed_at + signature_window + 1) == old);
    CHECK(verdict(head, signed_at - signature_window - 1) == old);
    CHECK(verdict(signed_head(recordings.back(), "ts=9223372036854775807", public_key,
                              recordings.back().signature)) == old);
    CHECK(verdict(signed_head(recordings.back(), "ts=0", public_key,
                              recordings.back().signature)) == old);
}

TEST_CASE("a signature of a key that is not listed is none")
{
    std::string other = public_key;
    other[40] = other[40] == 'A' ? 'B' : 'A';
    const auto& chat = recordings.back();
    const std::string ts = "ts=" + std::to_string(signed_at);
    CHECK(verdict(signed_head(chat, ts, other, chat.signature)) ==
          "the public key of this signature is none of those in auth.keys_file");
    for (const std::string& broken :
         {std::string(":"), "AAAA:" + std::string(chat.signature), public_key + ":",
          public_key + ":AAAA", public_key + ":" + chat.signature + "=",
          public_key + "::" + chat.signature, " " + public_key + " : " + chat.signature,
          std::string(chat.signature) + ":" + public_key}) {
        CAPTURE(broken);
        auto head = as_sent(chat);
        head.fields = {{"Authorization", broken}};
        CHECK(verdict(head) == "this key is none of those in auth.keys_file");
    }
}

TEST_CASE("no change of a single byte of a signature goes through")
{
    std::mt19937 random(17);
    const auto& chat = recordings.back();
    const std::string ts = "ts=" + std::to_string(signed_at);
    const std::string letters = "ABab01+/=:. \xff";
    for (int round = 0; round < 2000; ++round) {
        std::string text = public_key + ":" + chat.signature;
        const auto at = random() % text.size();
        const char c = letters[random() % letters.size()];
        if (text[at] == c) {
            continue;
        }
        text[at] = c;
        auto head = as_sent(chat);
        head.fields = {{"Authorization", text}};
        CAPTURE(text);
        REQUIRE(signers().verify(head, signed_at).key == nullptr);
    }
}
