// The keys file: its lines, its mistakes, and whose it is to write.
#include "proxy-config/keys_file.hpp"

#include "proxy-config/given.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <random>

using namespace gateway;

namespace {

const std::string hash = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const std::string public_key =
    "AAAAC3NzaC1lZDI1NTE5AAAAIA4MDGl6GA785Ceiaoa8/vRLAk6AEuFXq8P9aqDKirAQ";
const std::string whole_key = "gw_aaaaaaaa_" + std::string(52, 'b');

std::vector<access_key> keys_of(const std::string& text)
{
    std::vector<config_mistake> mistakes;
    auto keys = parse_keys(text, "/k", mistakes);
    CAPTURE(text);
    CHECK(given::told(mistakes).empty());
    return keys;
}

std::string mistakes_of(const std::string& text)
{
    std::vector<config_mistake> mistakes;
    parse_keys(text, "/k", mistakes);
    return given::told(mistakes);
}

// A file that is gone with its test.
struct written {
    explicit written(const std::string& text, mode_t mode = 0600)
        : path(std::filesystem::temp_directory_path() /
               ("keys-" + std::to_string(::getpid()) + "-" + std::to_string(++count)))
    {
        std::ofstream(path, std::ios::binary) << text;
        ::chmod(path.c_str(), mode);
    }
    ~written() { std::filesystem::remove_all(path); }

    config::auth_settings read(std::string* mistakes = nullptr) const
    {
        config::auth_settings auth;
        auth.keys_file = path.string();
        std::vector<config_mistake> wrong;
        read_keys_file(auth, wrong);
        if (mistakes != nullptr) {
            *mistakes = given::told(wrong);
        } else {
            CHECK(given::told(wrong).empty());
        }
        return auth;
    }

    std::filesystem::path path;
    static inline int count = 0;
};

}  // namespace

TEST_CASE("a line is an id and a hash or a public key, a name, and what is not as usual")
{
    const auto keys = keys_of(
        "# who may call\n\n"
        "gw_aaaaaaaa " +
        hash +
        " ada\n"
        "  gw_bbbbbbbb\t" +
        hash +
        "  bob@lab.org   inference  \r\n"
        "gw_cccccccc " +
        hash +
        " nightly background\n"
        "gw_dddddddd " +
        hash +
        " ops admin,management interactive\n"
        "ssh-ed25519 " +
        public_key + " ada inference,management background");
    REQUIRE(keys.size() == 5);
    CHECK(keys[0].id == "gw_aaaaaaaa");
    CHECK(keys[0].what == access_key::type::secret);
    CHECK(keys[0].value[0] == 0x00);
    CHECK(keys[0].value[31] == 0xff);
    CHECK(keys[0].name == "ada");
    CHECK(keys[0].may == usual_scopes);
    CHECK_FALSE(keys[0].background);
    CHECK(keys[1].name == "bob@lab.org");
    CHECK(keys[1].may == scopes{scope::inference});
    CHECK(keys[2].may == usual_scopes);
    CHECK(keys[2].background);
    CHECK(keys[3].may == scopes{scope::management, scope::admin});
    CHECK_FALSE(keys[3].background);
    CHECK(keys[4].what == access_key::type::ed25519_key);
    CHECK(keys[4].id.empty());
    CHECK(keys[4].value[0] == 0x0e);
    CHECK(keys[4].name == "ada");
    CHECK(keys[4].background);
    CHECK(keys_of("").empty());
    CHECK(keys_of("\n\n# nobody\n").empty());
}

TEST_CASE("each mistake is told with its line")
{
    const std::string good = "gw_aaaaaaaa " + hash + " ada";
    struct row {
        std::string line;
        std::string part;
    };
    for (const row& r :
         std::vector<row>{{"ada", "must begin with the id"},
                          {"gw_aaaa " + hash + " ada", "must begin with the id"},
                          {"gw_AAAAAAAA " + hash + " ada", "must begin with the id"},
                          {"gw_aaaaaaaa", "64 hexadecimal digits"},
                          {"gw_aaaaaaaa " + hash.substr(7) + " ada", "sha256:"},
                          {"gw_aaaaaaaa " + hash + "0 ada", "64 hexadecimal digits"},
                          {"gw_aaaaaaaa " + hash.substr(0, 70) + "x ada", "64 hexadecimal digits"},
                          {"gw_aaaaaaaa " + hash, "a name is missing"},
                          {"gw_aaaaaaaa " + hash + " ada/bob", "the name must be"},
                          {"gw_aaaaaaaa " + hash + " " + std::string(65, 'a'), "the name must be"},
                          {good + " reading", "scopes"},
                          {good + " inference,inference", "scopes"},
                          {good + " inference, jobs", "scopes"},
                          {good + " inference jobs", "behind its end"},
                          {good + " background inference", "behind its end"},
                          {good + " inference background x", "behind its end"},
                          {"ssh-rsa AAAAB3NzaC1yc2E= ada", "must begin with"},
                          {"ssh-ed25519 AAAA ada", "ssh-ed25519"},
                          {"ssh-ed25519 " + public_key + "==== ada", "ssh-ed25519"},
                          {"ssh-ed25519 " + public_key, "a name is missing"}}) {
        CAPTURE(r.line);
        const std::string told = mistakes_of("# one\n" + r.line + "\n");
        CHECK(told.starts_with("auth.keys_file: /k:2: "));
        CHECK(told.find(r.part) != std::string::npos);
    }
    CHECK(mistakes_of("x\ny\n").find("/k:2:") != std::string::npos);
}

TEST_CASE("no mistake repeats what stands in the file")
{
    for (const std::string& line : {whole_key, "gw_aaaaaaaa " + hash + " ada " + whole_key,
                                    "ada " + whole_key, "gw_aaaaaaaa " + whole_key + " ada"}) {
        CAPTURE(line);
        const std::string told = mistakes_of(line);
        CHECK(told.find("holds a key itself") != std::string::npos);
        CHECK(told.find("bbbb") == std::string::npos);
    }
    CHECK(mistakes_of("hunter2 is the word").find("hunter2") == std::string::npos);
}

TEST_CASE("a key stands once, a name as often as it likes")
{
    const std::string one = "gw_aaaaaaaa " + hash + " ada\n";
    CHECK(mistakes_of(one + one) == "auth.keys_file: /k:2: this key stands on line 1 already\n");
    const std::string ssh = "ssh-ed25519 " + public_key + " ada\n";
    CHECK(mistakes_of(ssh + one + ssh) ==
          "auth.keys_file: /k:3: this key stands on line 1 already\n");
    CHECK(keys_of(one + ssh).size() == 2);
}

TEST_CASE("a file that is something else is told in a few lines")
{
    std::string text;
    for (int i = 0; i < 1000; ++i) {
        text += "nonsense\n";
    }
    const std::string told = mistakes_of(text);
    CHECK(std::count(told.begin(), told.end(), '\n') == 11);
    CHECK(told.find("and 990 more") != std::string::npos);
}

TEST_CASE("the line of a key is read back as that key")
{
    std::mt19937 random(11);
    for (int round = 0; round < 500; ++round) {
        access_key key;
        key.id = "gw_";
        for (int i = 0; i < 8; ++i) {
            key.id += "abcdefghijklmnopqrstuvwxyz234567"[random() % 32];
        }
        for (auto& b : key.value) {
            b = static_cast<std::uint8_t>(random());
        }
        key.name = "n" + std::to_string(random());
        key.may = {};
        while (key.may == scopes{}) {
            for (const scope s : {scope::inference, scope::jobs, scope::management, scope::admin}) {
                if (random() % 2) {
                    key.may.add(s);
                }
            }
        }
        key.background = random() % 2;
        REQUIRE(keys_of(line_of(key)) == std::vector<access_key>{key});
    }
}

TEST_CASE("any bytes are keys or mistakes")
{
    std::mt19937 random(5);
    const std::vector<std::string> parts{
        "gw_aaaaaaaa", hash, "ada",         "inference",          " ",
        "\n",          "\t", "ssh-ed25519", public_key,           "#",
        "\xff",        ",",  "background",  std::string(1, '\0'), whole_key};
    for (int round = 0; round < 5000; ++round) {
        std::string text;
        for (auto n = random() % 12; n > 0; --n) {
            text += parts[random() % parts.size()] + (random() % 2 ? " " : "");
        }
        std::vector<config_mistake> mistakes;
        const auto keys = parse_keys(text, "/k", mistakes);
        for (const auto& key : keys) {
            REQUIRE(is_key_name(key.name));
        }
        REQUIRE(mistakes.size() <= 11);
    }
}

TEST_CASE("the file is read once it is its owner's alone to write")
{
    const std::string line = "gw_aaaaaaaa " + hash + " ada\n";
    std::string told;
    CHECK(written(line).read().keys.size() == 1);
    CHECK(written(line, 0400).read().keys_note.empty());
    CHECK(written(line, 0640).read().keys_note.empty());
    CHECK(written(line, 0644).read().keys_note.find("chmod 600") != std::string::npos);
    for (const mode_t mode : {0620, 0602, 0666}) {
        CHECK(written(line, mode).read(&told).keys.empty());
        CHECK(told.find("can be written by others than its owner") != std::string::npos);
    }
}

TEST_CASE("a file that cannot be read is told")
{
    std::string told;
    const written gone("");
    std::filesystem::remove(gone.path);
    gone.read(&told);
    CHECK(told ==
          "auth.keys_file: " + gone.path.string() + " cannot be read: No such file or directory\n");
    std::filesystem::create_directory(gone.path);
    gone.read(&told);
    CHECK(told.find("is no file") != std::string::npos);
    std::filesystem::remove(gone.path);
    REQUIRE(::mkfifo(gone.path.c_str(), 0600) == 0);
    gone.read(&told);  // and does not wait for somebody to write
    CHECK(told.find("is no file") != std::string::npos);
    written(std::string((1 << 20) + 1, '\n')).read(&told);
    CHECK(told.find("over 1 MiB") != std::string::npos);
}

TEST_CASE("without a keys file there are no keys")
{
    config::auth_settings auth;
    auth.keys.resize(3);
    std::vector<config_mistake> mistakes;
    read_keys_file(auth, mistakes);
    CHECK(auth.keys.empty());
    CHECK(mistakes.empty());
}
