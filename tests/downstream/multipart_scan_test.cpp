// The model of a transcription's form, and the forms that are refused.
#include "catch.hpp"
#include "downstream/classify.hpp"

#include <random>

using namespace gateway;

namespace {

const std::string type = "multipart/form-data; boundary=XyZ";

std::string part(const std::string& disposition, const std::string& content,
                 const std::string& more = "")
{
    return "--XyZ\r\nContent-Disposition: " + disposition + "\r\n" + more + "\r\n" + content +
           "\r\n";
}

std::string form(const std::string& parts)
{
    return parts + "--XyZ--\r\n";
}

const std::string file =
    part("form-data; name=\"file\"; filename=\"a.wav\"", std::string("RIFF\0\r\n--XyZ!\r\n", 15),
         "Content-Type: audio/wav\r\n");
const std::string model = part("form-data; name=\"model\"", "whisper:latest");

bool refused(const std::string& body, const std::string& content_type = type,
             const std::string& query = "")
{
    const auto r = scan_multipart(body, content_type, query);
    if (r.has_error()) {
        CHECK(r.error().code == fault_code::bad_body);
        CHECK(!r.error().message.empty());
    }
    return r.has_error();
}

std::string model_of(const std::string& body, const std::string& content_type = type)
{
    const auto r = scan_multipart(body, content_type);
    if (r.has_error()) {
        FAIL(r.error().message);
    }
    CHECK(body.substr(r->model_value.begin, r->model_value.end - r->model_value.begin) == r->model);
    CHECK(r->size == body.size());
    CHECK_FALSE(r->empty_prompt);
    return r->model;
}

}  // namespace

TEST_CASE("a form's model is found, before or behind its file")
{
    CHECK(model_of(form(model + file)) == "whisper:latest");
    CHECK(model_of(form(file + model)) == "whisper:latest");
    CHECK(model_of(form(file)) == "");
    CHECK(model_of(form(part("form-data; name=model", "m") + file)) == "m");
    CHECK(model_of(form(part("form-data;name=\"model\" ;x=y", "m"))) == "m");
    CHECK(model_of(form(part("Form-Data; NAME=\"model\"", "m", "X: y\r\n"))) == "m");
    CHECK(model_of(form(part("form-data; name=\"model\"", ""))) == "");
    CHECK(model_of(form(part("form-data; name=\"Model\"", "m"))) == "");
    CHECK(model_of(form(part("attachment; name=\"model\"", "m"))) == "");
    CHECK(model_of("\r\n" + form(model)) == "whisper:latest");
    CHECK(model_of(form(model) + "an epilogue") == "whisper:latest");
    CHECK(model_of(model + "--XyZ--") == "whisper:latest");
    CHECK(model_of("--XyZ--\r\n") == "");
    CHECK(model_of(form("--XyZ \t\r\n" + model.substr(7))) == "whisper:latest");
    CHECK(model_of(form(part("form-data; name=\"file\"; filename=\"C:\\a\\\"b.wav\"", "x") +
                        model)) == "whisper:latest");
    CHECK(model_of(form(part("form-data; name=\"file\"; filename*=utf-8''%e2%82%ac", "x") +
                        model)) == "whisper:latest");
    CHECK(model_of(form("--XyZ\r\n\r\nno head\r\n" + model)) == "whisper:latest");
    CHECK(model_of(form("--XyZ\r\n\r\n" + model)) == "whisper:latest");
    CHECK(model_of(form(model), "Multipart/Form-Data ;charset=utf-8; Boundary=\"XyZ\"") ==
          "whisper:latest");
    CHECK(scan_multipart(form(model + part("form-data; name=\"stream\"", "true")), type)->stream ==
          true);
}

TEST_CASE("a form that Go might read otherwise is refused")
{
    CHECK(refused(form(model + model)));
    CHECK(refused(form(part("form-data; name=\"model\"; filename=\"x\"", "m"))));
    CHECK(refused(form(part("form-data; name=\"model\"; filename=\"\"", "m"))));
    CHECK(refused(form(part("form-data; name*=utf-8''model", "m"))));
    CHECK(refused(form(part("form-data; name=\"a\"; name=\"model\"", "m"))));
    CHECK(refused(form(part("form-data; name=\"model\"", "=6d",
                            "Content-Transfer-Encoding: quoted-printable\r\n"))));
    CHECK(refused(form(
        part("form-data; name=\"a\"", "m", "Content-Disposition: form-data; name=\"model\"\r\n"))));
    CHECK(refused(form(part("form-data;\r\n name=\"model\"", "m"))));
    CHECK(refused(form(part("form-data; name=\"model", "m"))));
    CHECK(refused(form(part("form-data; =\"model\"", "m"))));
    CHECK(refused("preamble\r\n" + form(model)));
    CHECK(refused("--XyZ--x\r\n" + form(model)));
    CHECK(refused("--XyZ-\r\n" + form(model)));
    CHECK(refused("--XyZ\nContent-Disposition: form-data; name=\"model\"\n\nm\n--XyZ--\n"));
    CHECK(refused("--XyZ\r\nContent-Disposition: form-data; name=\"model\"\n\r\n\r\nm\r\n--XyZ--"));
    CHECK(refused(model));
    CHECK(refused(model.substr(0, 30)));
    CHECK(refused(""));
    CHECK(refused("--XyZ"));
    CHECK(refused("--XyZ\r\n"));
    CHECK(refused("--XyZ\r\n\r\n"));
    CHECK(refused(form(part("form-data; name=\"model\"", std::string(2000, 'm')))));
    CHECK(
        refused(form(part("form-data; name=\"x\"", "", "A: " + std::string(9000, 'm') + "\r\n"))));
    std::string many;
    for (int i = 0; i < 300; ++i) {
        many += part("form-data; name=\"x\"", "y");
    }
    CHECK(refused(form(many)));
}

TEST_CASE("the Content-Type and the query must not say another thing than the form")
{
    for (const char* content_type :
         {"multipart/form-data", "multipart/form-data; boundary=",
          "multipart/form-data; boundary=\"", "multipart/form-data; boundary=XyZ; boundary=a",
          "multipart/mixed; boundary=XyZ", "multipart/form-data; boundary=XyZ; boundary*=utf-8''a",
          "multipart/form-data boundary=XyZ", "\xC2\xA0multipart/form-data; boundary=XyZ"}) {
        INFO(content_type);
        CHECK(refused(form(model), content_type));
    }
    CHECK(refused(form(model), type, "model=other"));
    CHECK(refused(form(model), type, "a=b&mod%65l=other"));
    CHECK_FALSE(refused(form(model), type, "a=model&models=x"));
    CHECK(model_of("{\"model\":\"m\"}", "application/json") == "");
    CHECK(model_of("", "") == "");
}

TEST_CASE("mutated forms are read or refused, and what is read lies in the body")
{
    const std::string whole = form(file + model + file);
    std::mt19937 random(11);
    int accepted = 0;
    for (int round = 0; round < 20000; ++round) {
        std::string body = whole;
        for (unsigned n = 1 + random() % 4; n > 0; --n) {
            const auto place = random() % body.size();
            if (random() % 2 == 0) {
                body[place] = "\r\n-\"; =XZ"[random() % 9];
            } else {
                body.erase(place, 1 + random() % 3);
            }
        }
        const auto r = scan_multipart(body, type);
        if (r.has_value()) {
            ++accepted;
            REQUIRE(r->model_value.begin <= r->model_value.end);
            REQUIRE(r->model_value.end <= body.size());
        }
    }
    CHECK(accepted > 1000);
}
